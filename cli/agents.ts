import { stripVTControlCharacters } from 'node:util';
import type { Client } from './client.ts';
import { CliError, exitCodes, usageError } from './errors.ts';
import { firstEvent } from './follow-events.ts';
import type { AgentMetadata, Workspace, WorkspaceAgent, WorkspaceBuild } from './types.ts';

export const agentLogPath = (agentId: string): string => `/api/v2/workspaceagents/${agentId}/logs`;

export const agentsOf = (build: Pick<WorkspaceBuild, 'resources'>): WorkspaceAgent[] =>
  build.resources.flatMap((resource) => resource.agents ?? []);

/** The agent of this name, or the only top-level one. Throws CliError naming those there are. */
export function pickAgent(build: WorkspaceBuild, name: string | undefined): WorkspaceAgent {
  const agents = agentsOf(build);
  const names = agents
    .map((agent) => agent.name)
    .toSorted()
    .join(', ');
  const title = `build ${build.build_number} of ${build.workspace_name}`;
  if (agents.length === 0)
    throw new CliError(`The ${title} has no agents`, {
      exitCode: exitCodes.notFound,
      next: `a start that succeeded has: berth builds ${build.workspace_name} lists the builds`,
    });
  if (name !== undefined) {
    const found = agents.find((agent) => agent.name === name);
    if (found !== undefined) return found;
    throw new CliError(`The ${title} has no agent ${name}`, { exitCode: exitCodes.notFound, next: `it has: ${names}` });
  }
  const [only, ...others] = agents.filter((agent) => agent.parent_id === null);
  if (only === undefined || others.length > 0) throw usageError(`Which agent of ${title}?`, `one of: ${names}`);
  return only;
}

/** Agents that make a workspace unhealthy, each with its reason. */
export const failingAgents = (workspace: Workspace): string[] =>
  workspace.health.failing_agents.map((id) => {
    const agent = agentsOf(workspace.latest_build).find((each) => each.id === id);
    if (agent === undefined) return id;
    return agent.health.reason === undefined ? agent.name : `${agent.name} (${agent.health.reason})`;
  });

const metadataTimeoutMs = 2_000;

/** What each agent measures, by agent id; agents whose values do not come in two seconds are left out. */
export async function readAgentMetadata(
  client: Client,
  agents: readonly WorkspaceAgent[],
): Promise<Record<string, AgentMetadata[]>> {
  const entries = await Promise.all(
    agents.map(async ({ id }) => {
      const path = `/api/v2/workspaceagents/${id}/watch-metadata`;
      return [id, await firstEvent<AgentMetadata[]>(client, path, metadataTimeoutMs)] as const;
    }),
  );
  return Object.fromEntries(entries.filter((entry): entry is [string, AgentMetadata[]] => entry[1] !== undefined));
}

/** Text that comes out of a workspace must not drive the terminal (spec/05 §18). */
export const plainText = (text: string): string =>
  // oxlint-disable-next-line no-control-regex -- control characters are what is taken away
  stripVTControlCharacters(text).replaceAll(/[\u0000-\u0008\u000B-\u001F\u007F-\u009F]/g, '');
