import { type Db, transaction } from '../db/client.ts';
import { notify, agentStatesChannel } from '../db/notifications.ts';
import { lockLifecycle, setLifecycle, setStartup } from '../db/queries/agent-lifecycles.ts';
import type { AgentIdentity } from '../db/queries/agent-tokens.ts';
import { type AgentLifecycleState, isAgentVersion, planLifecycle } from '../domain/agent-lifecycle.ts';
import { invalidField } from '../domain/errors.ts';

interface Deps {
  readonly db: Db;
  now(): Date;
}

/** Stores how far the agent is; what comes late or twice writes nothing. Source: spec/05 §5. */
export async function reportLifecycle(
  deps: Deps,
  agent: AgentIdentity,
  report: { state: AgentLifecycleState; changedAt: Date | null },
): Promise<void> {
  await transaction(deps.db, async (tx) => {
    const row = await lockLifecycle(tx, agent.agentId);
    const next = row === undefined ? null : planLifecycle(row, report, deps.now());
    if (next === null) return;
    await setLifecycle(tx, agent.agentId, next);
    await notify(tx, agentStatesChannel, agent.workspaceId);
  });
}

const subsystems = ['envbox', 'envbuilder', 'exectrace'] as const;
type Subsystem = (typeof subsystems)[number];
const isSubsystem = (text: string): text is Subsystem => (subsystems as readonly string[]).includes(text);

/** Stores what the agent says of itself once it has its manifest. Throws INVALID_INPUT. Source: spec/05 §3. */
export async function reportStartup(
  deps: Deps,
  agent: AgentIdentity,
  report: { version: string; expandedDirectory: string; subsystems: readonly string[]; apiVersion: string },
): Promise<void> {
  if (!isAgentVersion(report.version)) throw invalidField('version', 'must be a semantic version with a leading v');
  const known = report.subsystems.filter(isSubsystem);
  const unknown = report.subsystems.find((name) => !isSubsystem(name));
  if (unknown !== undefined) throw invalidField('subsystems', `"${unknown}" is not one of ${subsystems.join(', ')}`);
  await transaction(deps.db, async (tx) => {
    await setStartup(tx, agent.agentId, {
      version: report.version,
      expandedDirectory: report.expandedDirectory,
      subsystems: [...new Set(known)].toSorted(),
      apiVersion: report.apiVersion,
      now: deps.now(),
    });
    await notify(tx, agentStatesChannel, agent.workspaceId);
  });
}
