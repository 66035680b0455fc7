import type { Backoff } from './backoff.ts';
import { subAgentName } from './devcontainer-rules.ts';
import type { Log } from './log.ts';
import type { ManifestDevcontainer } from './protocol.ts';
import type { ServerClient } from './server-client.ts';

export interface SubAgent {
  readonly id: string;
  readonly name: string;
  /** For the process in the container; never logged. */
  readonly token: string;
}

export interface SubAgents {
  /** null when the server wants none, or `signal` aborted. */
  readonly create: (devcontainer: ManifestDevcontainer, directory: string) => Promise<SubAgent | null>;
  readonly remove: (id: string) => Promise<void>;
}

const displayApps = ['vscode', 'web_terminal', 'ssh_helper', 'port_forwarding_helper'];
const architectures: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64', arm: 'armv7' };
const mostNames = 20;

/** Agents inside dev containers, as rows of the server. Source: spec/05 §13 "Sub-agent API". */
export function createSubAgents({
  client,
  backoff,
  log,
  signal,
}: {
  readonly client: ServerClient;
  readonly backoff: Backoff;
  readonly log: Log;
  readonly signal: AbortSignal;
}): SubAgents {
  const path = '/workspaceagents/me/sub-agents';
  return {
    async create({ subagent_id, workspace_folder, name }, directory) {
      for (let attempt = 1; attempt <= mostNames; attempt++) {
        const body = {
          name: subAgentName(workspace_folder, attempt),
          directory,
          architecture: architectures[process.arch] ?? process.arch,
          operating_system: 'linux',
          display_apps: displayApps,
          apps: [],
          ...(subagent_id !== null && { id: subagent_id }),
        };
        const answer = await client.deliver({ method: 'POST', path, body, signal }, backoff);
        if (answer === null) return null;
        // The name is taken by another agent of this build.
        if (answer.status === 409 && subagent_id === null) continue;
        const agent = (answer.body as { agent?: { id: string; name: string; auth_token: string } } | null)?.agent;
        if (answer.status >= 300 || agent === undefined) {
          log.warn(`the dev container ${name} got no agent: ${answer.status}`);
          return null;
        }
        return { id: agent.id, name: agent.name, token: agent.auth_token };
      }
      return null;
    },
    async remove(id) {
      await client.deliver({ method: 'DELETE', path: `${path}/${id}`, signal }, backoff);
    },
  };
}
