import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { agentLogPath, agentsOf, plainText } from '../../cli/agents.ts';
import { resourcesText } from '../../cli/commands/workspace-text.ts';
import { followEvents } from '../../cli/follow-events.ts';
import type { AgentMetadata, Workspace, WorkspaceAgent } from '../../cli/types.ts';
import { DemoFailure } from './checks.ts';
import type { DemoRun } from './steps.ts';

const readyWithinMs = 60_000;
const metadataWithinMs = 30_000;
const lookEveryMs = 200;

const agentOf = (workspace: Workspace): WorkspaceAgent => {
  const [agent] = agentsOf(workspace.latest_build);
  if (agent === undefined) throw new DemoFailure('the workspace has no agent');
  return agent;
};

/** Waits until the agent is ready, then shows its metadata as the agent collects them. Answers the workspace as it is then. */
export async function followAgent(run: DemoRun, first: Workspace): Promise<Workspace> {
  const workspace = await waitUntilReady(run, first);
  const { client, output, signal } = run;
  const agent = agentOf(workspace);
  const seen = new Map<string, string>();
  const given = AbortSignal.any([signal, AbortSignal.timeout(metadataWithinMs)]);
  await followEvents(client, {
    path: `/api/v2/workspaceagents/${agent.id}/watch-metadata`,
    what: 'the metadata',
    next: 'look at the agent’s log',
    signal: given,
    onData: (value) => {
      const items = value as AgentMetadata[];
      for (const { description, result } of items) {
        const text = plainText(result.value).trim();
        if (text === '' || seen.get(description.key) === text) continue;
        seen.set(description.key, text);
        output.say(`  ${description.display_name}: ${text}`);
      }
      return items.every(({ description }) => seen.has(description.key));
    },
  });
  if (signal.aborted) throw new DemoFailure('interrupted while the agent reported');
  if (given.aborted) throw new DemoFailure('the agent did not report its metadata');
  output.say(resourcesText(workspace.latest_build.resources, output.colors));
  return workspace;
}

export async function waitUntilReady({ client, output, signal }: DemoRun, first: Workspace): Promise<Workspace> {
  const deadline = Date.now() + readyWithinMs;
  let workspace = first;
  let said = '';
  for (;;) {
    const agent = agentOf(workspace);
    const state = `agent ${agent.name}: ${agent.status}, ${agent.lifecycle_state}`;
    if (state !== said) output.say(`  ${state}`);
    said = state;
    if (agent.lifecycle_state === 'ready') return workspace;
    if (agent.lifecycle_state === 'start_error' || Date.now() > deadline)
      throw new DemoFailure(`the agent is not ready: ${state}`);
    await new Promise((done) => setTimeout(done, lookEveryMs));
    if (signal.aborted) throw new DemoFailure('interrupted while the agent started');
    workspace = await client.get<Workspace>(`/api/v2/workspaces/${first.id}`);
  }
}

/** The stop script has run, and at that time the workspace's process still did. */
export async function checkDrained({ client }: DemoRun, running: Workspace, directory: string): Promise<void> {
  const lines = await client.get<{ output: string }[]>(agentLogPath(agentOf(running).id));
  if (!lines.some(({ output }) => /^process \d+ still runs$/.test(output)))
    throw new DemoFailure('the stop script did not run before Terraform stopped the process');
  if (!existsSync(join(directory, 'home', '.last-stop'))) throw new DemoFailure('the stop script left nothing behind');
}
