import { buildOver } from '../builds.ts';
import { type Context, read } from '../context.ts';
import { type Body, describeAnswer, fiveTimes, judgeCancels, judgeCreations } from '../five-times.ts';
import { finishLife, judgeBuild } from '../judge.ts';
import type { JobRow } from '../job-watch.ts';
import { type Random, createRandom } from '../random.ts';
import { type RequestedBuild, type Run, type Transition, addFindings, createRun, nextRun } from '../run.ts';
import type { Order, Scenario } from '../scenario.ts';
import { addUsualHost, usualFleet } from './strike-scenario.ts';

const lanes = 3;
const runsPerLife = 5;

/** Each mutating call five times at the same moment, with one Idempotency-Key or without: one effect either way. */
export const duplicateRequests: Scenario = {
  name: 'duplicate-requests',
  fleet: usualFleet,
  begin: addUsualHost,
  async play(context, order) {
    let begun = 0;
    const lane = async (): Promise<void> => {
      while (begun < order.runs) {
        const number = begun / runsPerLife;
        begun += runsPerLife;
        await order.onRuns(await live(context, { ...order, number }));
      }
    };
    await Promise.all(Array.from({ length: lanes }, lane));
  },
};

/** Create, stop, start with a parameter, cancel of a stop, delete: five runs. Ends early when a step fails. */
async function live(context: Context, order: Order & { number: number }): Promise<readonly Run[]> {
  const seed = order.seed + order.number;
  const random = createRandom(seed);
  const name = `w-${seed}-duplicates`;
  const label = `label-${order.number}`;
  const values = { rich_parameter_values: [{ name: 'label', value: label }] };
  const steps: ((run: Run) => Promise<boolean>)[] = [
    (run) => build(context, run, random, { transition: 'start', json: { name, template_id: context.templateId } }),
    (run) => build(context, run, random, { transition: 'stop' }),
    async (run) =>
      (await build(context, run, random, { transition: 'start', json: values })) && judgeParameter(context, run, label),
    (run) => cancel(context, run, random),
    (run) => build(context, run, random, { transition: 'delete' }),
  ];
  let run = createRun({ scenario: context.scenario, seed, size: runsPerLife, name });
  const runs: Run[] = [];
  for (const step of steps) {
    run = nextRun(run);
    runs.push(run);
    if (!(await step(run))) break;
  }
  await finishLife(context, run, false);
  return runs;
}

/** Requests a build five times, waits for the one that there may be, and judges it. False when the life cannot go on. */
async function build(
  context: Context,
  run: Run,
  random: Random,
  { transition, json = {} }: { transition: Transition; json?: object },
): Promise<boolean> {
  const creates = run.workspaceId === '';
  const path = creates ? '/users/me/workspaces' : `/workspaces/${run.workspaceId}/builds`;
  const call = { method: 'POST', path, json: creates ? json : { transition, ...json }, keyed: random.next() < 0.5 };
  const five = await fiveTimes(context, run, call);
  addFindings(run, judgeCreations(five));
  const created = five.answers.find(({ status }) => status === 201)?.body;
  if (created?.id === undefined) return false;
  if (creates) run.workspaceId = created.id;
  const requested = adopt(context, run, created.latest_build ?? created, transition);
  const row = await buildOver(context, run, requested);
  if (row === undefined) return false;
  await judgeBuild(context, run, { build: requested, row, expected: ['succeeded'] });
  if (five.keyed) {
    // The same request long after its effect still names it.
    const late = await five.again();
    if (late.status !== 201 || late.body.id !== created.id)
      addFindings(run, [{ kind: 'wrong', what: `a repeat with the same key was answered ${describeAnswer(late)}` }]);
  }
  await judgeCount(context, run);
  return row.status === 'succeeded';
}

function adopt(context: Context, run: Run, made: Body, transition: Transition): RequestedBuild {
  if (made.id === undefined || made.job === undefined) throw new Error(`not a build: ${JSON.stringify(made)}`);
  const requested = { id: made.id, jobId: made.job.id, transition, requestedAtMs: Date.now() };
  run.builds.push(requested);
  context.stack.watch.watch(requested.jobId);
  return requested;
}

/** There are as many builds as there were effects to be had. */
async function judgeCount(context: Context, run: Run): Promise<void> {
  const { body } = await read<readonly unknown[]>(context, `/workspaces/${run.workspaceId}/builds`);
  if (body.length === run.builds.length) return;
  const what = `${body.length} builds exist, ${run.builds.length} were to be made`;
  addFindings(run, [{ kind: 'double_apply', what }]);
}

async function judgeParameter(context: Context, run: Run, label: string): Promise<true> {
  const path = `/workspacebuilds/${run.builds.at(-1)?.id}/parameters`;
  const { body } = await read<readonly { name: string; value: string }[]>(context, path);
  if (body.find(({ name }) => name === 'label')?.value !== label)
    addFindings(run, [{ kind: 'lost', what: `the parameter of the start is ${JSON.stringify(body)}` }]);
  return true;
}

/** One stop, and five cancels as soon as it runs. */
async function cancel(context: Context, run: Run, random: Random): Promise<boolean> {
  const stop = { json: { transition: 'stop' } };
  const made = await context.api.expect<Body>(201, 'POST', `/workspaces/${run.workspaceId}/builds`, stop);
  const requested = adopt(context, run, made, 'stop');
  const isTaken = ({ status, over }: JobRow): boolean => status === 'running' || over;
  await context.stack.watch.until(requested.jobId, isTaken, context.boundMs);
  const path = `/workspacebuilds/${requested.id}/cancel`;
  const five = await fiveTimes(context, run, { method: 'PATCH', path, keyed: random.next() < 0.5 });
  const row = await buildOver(context, run, requested);
  if (row === undefined) return false;
  await judgeBuild(context, run, { build: requested, row, expected: ['canceled', 'succeeded'] });
  addFindings(run, judgeCancels(five, row.status));
  await judgeCount(context, run);
  return true;
}
