import { type Db, transaction } from '../db/client.ts';
import type { AgentIdentity } from '../db/queries/agent-tokens.ts';
import { enqueueNotification } from '../db/queries/notification-messages.ts';
import { lockMonitors, updateMemoryMonitor, updateVolumeMonitors } from '../db/queries/resource-monitors.ts';
import { findWorkspaceIncludingDeleted } from '../db/queries/workspaces.ts';
import { resourceMonitor } from '../domain/actors.ts';
import { type NotificationTemplate, monitorEventKey, notificationTemplates } from '../domain/notifications.ts';
import { type Monitor, type MonitorStep, type Usage, nextMonitor, pointState } from '../domain/resource-monitors.ts';

export interface ResourceDatapoint {
  readonly memory?: Usage | null | undefined;
  readonly volumes: readonly (Usage & { readonly volume: string })[];
}

const hasChanged = (before: Monitor, after: MonitorStep): boolean =>
  before.state !== after.state || before.debouncedUntil?.getTime() !== after.debouncedUntil?.getTime();

/**
 * Judges the points that an agent measured. The states and the messages that follow from them are one transaction, with the
 * monitors locked: two reports at once tell the owner once. Nobody is told about a prebuild. Source: spec/05 §12.
 */
export const createReportResourceUsage = (deps: { db: Db; now(): Date }) =>
  async function reportResourceUsage(agent: AgentIdentity, datapoints: readonly ResourceDatapoint[]): Promise<void> {
    if (datapoints.length === 0) return;
    const now = deps.now();
    const { agentId } = agent;
    await transaction(deps.db, async (tx) => {
      const monitors = await lockMonitors(tx, agentId);
      const tell = createTell(tx, agent, now);

      const { memory } = monitors;
      if (memory?.enabled === true) {
        const step = nextMonitor(
          memory,
          datapoints.map((point) => pointState(point.memory, memory.threshold)),
          now,
        );
        if (hasChanged(memory, step)) await updateMemoryMonitor(tx, agentId, withoutNotify(step), now);
        if (step.notify)
          await tell(notificationTemplates.workspaceOutOfMemory, 'memory', {
            labels: { threshold: `${memory.threshold}%` },
            data: {},
          });
      }

      const volumes = monitors.volumes
        .filter((volume) => volume.enabled)
        .map((volume) => {
          const points = datapoints.map((point) =>
            pointState(
              point.volumes.find((each) => each.volume === volume.path),
              volume.threshold,
            ),
          );
          return { volume, step: nextMonitor(volume, points, now) };
        });
      const changed = volumes.filter(({ volume, step }) => hasChanged(volume, step));
      if (changed.length > 0)
        await updateVolumeMonitors(
          tx,
          agentId,
          changed.map(({ volume, step }) => ({ path: volume.path, ...withoutNotify(step) })),
          now,
        );
      const full = volumes.filter(({ step }) => step.notify).map(({ volume }) => volume);
      if (full.length > 0)
        await tell(notificationTemplates.workspaceOutOfDisk, 'volumes', {
          labels: {},
          data: { volumes: full.map(({ path, threshold }) => ({ path, threshold: `${threshold}%` })) },
        });
    });
  };

const withoutNotify = ({ state, debouncedUntil }: MonitorStep) => ({ state, debouncedUntil });

function createTell(tx: Db, agent: AgentIdentity, now: Date) {
  return async (
    template: NotificationTemplate,
    kind: 'memory' | 'volumes',
    content: { labels: Record<string, string>; data: Record<string, unknown> },
  ): Promise<void> => {
    if (agent.ownerIsSystem) return;
    const workspace = await findWorkspaceIncludingDeleted(tx, agent.workspaceId);
    if (workspace === undefined) return;
    await enqueueNotification(tx, {
      template,
      // As stored, not as cached: the workspace may just have been claimed.
      userId: workspace.ownerId,
      eventKey: monitorEventKey(agent.agentId, kind, now),
      labels: { workspace: workspace.name, ...content.labels },
      data: content.data,
      targets: [workspace.id, workspace.ownerId, workspace.templateId, workspace.organizationId],
      createdBy: resourceMonitor({ agentId: agent.agentId }).name,
      now,
    });
  };
}
