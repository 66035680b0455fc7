import { setTimeout as delay } from 'node:timers/promises';
import { listDraining, requestShutdowns } from '../db/queries/agent-shutdowns.ts';
import type { BuildRun } from '../db/queries/workspace-builds.ts';
import { agentInactiveAfterMs } from '../domain/agents.ts';
import { drainState, drainText } from '../domain/drain.ts';
import { type JobRun, assertRunning } from './job-run.ts';

const lookEveryMs = 250;

/**
 * Before a stop or delete takes the machine away, connected agents run their stop scripts, and the build waits for them, for a
 * limited time. Nothing is asked twice: a run that takes over waits on. Prebuilds are nobody's yet and have nothing to save.
 * Throws RunStopped. Source: spec/05 §6.
 */
export async function drainAgents(run: JobRun, { build, workspace, owner }: BuildRun): Promise<void> {
  const { deps, log } = run;
  const { drainTimeoutMs: timeoutMs } = deps;
  if (build.transition === 'start' || owner.isSystem || timeoutMs === 0) return;
  const asked = await requestShutdowns(deps.db, {
    workspaceId: workspace.id,
    buildNumber: build.number,
    reason: build.transition,
    seenWithinMs: agentInactiveAfterMs,
  });
  if (asked.length === 0) return;
  log.stage('Running stop scripts');
  let waitingFor = asked;
  while (waitingFor.length > 0) {
    assertRunning(run);
    const now = new Date();
    const agents = await listDraining(deps.db, waitingFor);
    const states = agents.map((agent) => ({ agent, state: drainState(agent, now, timeoutMs) }));
    for (const { agent, state } of states)
      if (state !== 'running') log.say(state === 'done' ? 'info' : 'warn', drainText(agent.name, state));
    waitingFor = states.filter(({ state }) => state === 'running').map(({ agent }) => agent.agentId);
    if (waitingFor.length > 0) await delay(lookEveryMs);
  }
}
