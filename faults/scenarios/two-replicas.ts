import { setTimeout as delay } from 'node:timers/promises';
import { buildOver, requestBuild } from '../builds.ts';
import { type Context, everythingReady } from '../context.ts';
import { finishLife, judgeBuild } from '../judge.ts';
import { type LogFollower, compareWithRows, followLog } from '../log-follower.ts';
import { eventually } from '../patience.ts';
import { type Random, createRandom } from '../random.ts';
import { type RecoveryMeasurement, measureRecovery } from '../recovery.ts';
import { type RequestedBuild, type Run, addFindings, createRun, nextRun } from '../run.ts';
import type { Order, Scenario } from '../scenario.ts';

const slotsPerWorker = 3;
/** Workspaces that are built all the time, at most. */
const maxLanes = 6;
const killEveryMs = 10_000;
const logCompleteWithinMs = 45_000;
/** No answer from an API that was just killed, 503 from one that cannot serve yet. */
const allowed = [0, 503];
const transitions = ['start', 'stop', 'start', 'delete'] as const;

/** Builds in flight, so that a kill can be measured against each of them. */
type InFlight = Map<string, { run: Run; measured: RecoveryMeasurement[] }>;

/** Everything twice; every 10 s one process dies and comes back. Builds run all the time, and somebody reads each one's log. */
export const twoReplicas: Scenario = {
  name: 'two-replicas',
  fleet: { apis: 2, controls: 2, slots: slotsPerWorker },
  remark: `a kill every ${killEveryMs / 1000} s`,
  async begin({ fleet, hosts }) {
    hosts.push(await fleet.addHost({ name: 'host', workers: 2 }));
  },
  async play(context, order) {
    const inFlight: InFlight = new Map();
    const killing = startKilling(context, inFlight, createRandom(order.seed));
    let begun = 0;
    let returns = 0;
    const lane = async (): Promise<void> => {
      while (begun < order.runs) {
        const number = begun / transitions.length;
        begun += transitions.length;
        const lived = await live(context, inFlight, { ...order, number });
        returns += lived.returns;
        await order.onRuns(lived.runs);
      }
    };
    try {
      const lanes = Math.min(maxLanes, Math.ceil(order.runs / transitions.length));
      await Promise.all(Array.from({ length: lanes }, lane));
    } finally {
      console.error(
        `  killed: ${(await killing.stop()).join(', ')}; readers of logs had to come back ${returns} times`,
      );
    }
  },
};

function startKilling(context: Context, inFlight: InFlight, random: Random): { stop: () => Promise<string[]> } {
  const { fleet, hosts } = context;
  const processes = [...fleet.apis, ...fleet.controls, ...hosts.flatMap(({ workers }) => workers)];
  const killed: string[] = [];
  let stopped = false;
  const kill = async (): Promise<void> => {
    const victim = random.pick(processes);
    const measurements = [...inFlight].map(([jobId, { run, measured }]) => {
      run.notes.push(`${victim.name} was killed at ${new Date().toISOString()}`);
      const measurement = measureRecovery(context.stack.watch, jobId, 'held');
      measured.push(measurement);
      return measurement;
    });
    killed.push(victim.name);
    await victim.end('SIGKILL');
    for (const measurement of measurements) measurement.faultEnded();
    await victim.start();
  };
  const killing = (async () => {
    for (let lastAt = Date.now(); !stopped; await delay(100)) {
      if (Date.now() - lastAt < killEveryMs) continue;
      lastAt = Date.now();
      await kill();
    }
  })();
  return {
    async stop() {
      stopped = true;
      await killing;
      await everythingReady(context);
      return killed;
    },
  };
}

/** One workspace's life; each of its builds is a run. */
async function live(context: Context, inFlight: InFlight, order: Order & { number: number }) {
  const name = `w-${order.seed}-${order.number}-replicas`;
  let run = createRun({ scenario: context.scenario, seed: order.seed, size: order.runs, name });
  const runs: Run[] = [];
  let returns = 0;
  // Half of the readers begin at one replica, half at the other.
  const urls = context.fleet.apis.map(({ url }) => url);
  const apiUrls = order.number % 2 === 0 ? urls : urls.toReversed();
  for (const transition of transitions) {
    run = nextRun(run);
    runs.push(run);
    const build = await requestBuild(context, run, { transition, allowed });
    if (build === undefined) break;
    const measured: RecoveryMeasurement[] = [];
    inFlight.set(build.jobId, { run, measured });
    const follower = followLog(apiUrls, { buildId: build.id, token: context.token });
    const row = await buildOver(context, run, build);
    inFlight.delete(build.jobId);
    const recoveries = measured.flatMap((each) => each.result() ?? []);
    run.recoveryMs = recoveries.length === 0 ? null : Math.max(...recoveries);
    if (row !== undefined) await judgeBuild(context, run, { build, row, expected: ['succeeded'] });
    await judgeLog(context, run, { build, follower });
    returns += follower.returns();
  }
  await finishLife(context, run, false);
  return { runs, returns };
}

async function judgeLog(
  context: Context,
  run: Run,
  { build, follower }: { build: RequestedBuild; follower: LogFollower },
): Promise<void> {
  let complete = false;
  void follower.complete.then(() => (complete = true));
  const came = await eventually(() => complete, { boundMs: logCompleteWithinMs });
  follower.stop();
  if (came === undefined)
    addFindings(run, [{ kind: 'wrong', what: `the log of the ${build.transition} never ended for its reader` }]);
  const stored = await context.stack.sql<{ id: number }[]>`
    select id::float8 from provisioner_job_logs where job_id = ${build.jobId} order by id`;
  const wrong = compareWithRows(
    follower.ids,
    stored.map(({ id }) => id),
  );
  addFindings(
    run,
    wrong.map((what) => ({ kind: 'wrong', what: `log of the ${build.transition}: ${what}` })),
  );
  run.notes.push(`the reader of its log had to come back ${follower.returns()} times`);
}
