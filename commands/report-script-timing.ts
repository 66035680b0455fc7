import { type Db, transaction } from '../db/client.ts';
import { notify, agentStatesChannel } from '../db/notifications.ts';
import type { AgentIdentity } from '../db/queries/agent-tokens.ts';
import { type ScriptTimingRow, insertScriptTiming, isScriptOf, trimCronTimings } from '../db/queries/script-timings.ts';
import { invalidField } from '../domain/errors.ts';

const keptCronRuns = 100;

/** Stores one run of a script of this agent; the same run again changes nothing. Source: spec/05 §11. */
export const createReportScriptTiming = (deps: { db: Db }) =>
  async function reportScriptTiming(agent: AgentIdentity, timing: ScriptTimingRow): Promise<void> {
    for (const [field, instant] of [
      ['started_at', timing.startedAt],
      ['ended_at', timing.endedAt],
    ] as const)
      if (instant.getTime() <= 0) throw invalidField(field, 'must be set');
    if (timing.endedAt < timing.startedAt) throw invalidField('ended_at', 'must not be before started_at');
    await transaction(deps.db, async (tx) => {
      if (!(await isScriptOf(tx, agent.agentId, timing.scriptId)))
        throw invalidField('script_id', 'is no script of this agent');
      if (!(await insertScriptTiming(tx, timing))) return;
      if (timing.stage === 'cron') await trimCronTimings(tx, timing.scriptId, keptCronRuns);
      // Runs by the clock say nothing about how far the workspace is.
      else await notify(tx, agentStatesChannel, agent.workspaceId);
    });
  };
