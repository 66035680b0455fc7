import { listContainers } from './containers.ts';
import type { DevcontainerState } from './devcontainers.ts';
import type { Instance } from './instance.ts';
import { listListeningPorts } from './listening-ports.ts';
import { messageOf } from './log.ts';
import type { AgentFrame, AgentRequestMethod, ManifestDevcontainer } from './protocol.ts';

/** As clients see it; the agent's token stays here. */
const devcontainerView = (row: ManifestDevcontainer, { status, error, containerId, agent }: DevcontainerState) => ({
  ...row,
  status,
  dirty: false,
  ...(containerId !== '' && { container: { id: containerId } }),
  ...(agent !== null && { agent: { id: agent.id, name: agent.name } }),
  ...(error !== '' && { error }),
});

const idOf = ({ id }: Readonly<Record<string, unknown>>): string => (typeof id === 'string' ? id : '');

async function perform(
  method: AgentRequestMethod,
  params: Readonly<Record<string, unknown>>,
  instance: Instance,
): Promise<unknown> {
  if (method === 'listening-ports') return listListeningPorts();
  const { devcontainers } = instance;
  if (devcontainers === null) throw new Error('FORBIDDEN: dev containers are turned off');
  switch (method) {
    case 'containers.list':
      return {
        ...(await listContainers(instance.env(), instance.cwd())),
        devcontainers: devcontainers.list().map(({ row, state }) => devcontainerView(row, state)),
      };
    case 'devcontainers.recreate':
      devcontainers.recreate(idOf(params));
      return {};
    case 'devcontainers.delete':
      await devcontainers.remove(idOf(params));
      return {};
  }
}

/**
 * Answers a `request` frame; every request gets exactly one response. An error may begin with a code that the server turns
 * into a status (`CONFLICT: …`). Source: spec/05 §7, §13.
 */
export async function answerRequest(
  { id, method, params }: { id: string; method: AgentRequestMethod; params: Readonly<Record<string, unknown>> },
  instance: Instance | null,
): Promise<AgentFrame> {
  try {
    if (instance === null) throw new Error('the agent is not started');
    const result = await perform(method, params, instance);
    if (result === undefined) throw new Error(`unknown method ${String(method)}`);
    return { type: 'response', id, result };
  } catch (err) {
    return { type: 'response', id, error: messageOf(err) };
  }
}
