import { randomUUID } from 'node:crypto';
import type { Answer } from './api-client.ts';
import { type Context, read } from './context.ts';
import type { JobRow } from './job-watch.ts';
import { eventually } from './patience.ts';
import { sessionOf, signalAll, terraformOf } from './process-table.ts';
import { type RequestedBuild, type Run, type Transition, addFindings } from './run.ts';
import { type StoredState, noState, parseStoredState } from './stored-state.ts';

interface BuildBody {
  readonly id: string;
  readonly job: { readonly id: string };
}
interface WorkspaceBody {
  readonly id: string;
  readonly latest_build: BuildBody;
}

const acceptedWithinMs = 60_000;

/**
 * Requests a build (the first one with its workspace), again and again under one Idempotency-Key until it is accepted. Any
 * answer on the way that is not among `allowed` is a finding; 0 = no answer. Undefined when it was never accepted.
 */
export async function requestBuild(
  context: Context,
  run: Run,
  { transition, allowed = [] }: { transition: Transition; allowed?: readonly number[] },
): Promise<RequestedBuild | undefined> {
  const creates = run.workspaceId === '';
  const path = creates ? '/users/me/workspaces' : `/workspaces/${run.workspaceId}/builds`;
  const json = creates ? { name: run.name, template_id: context.templateId } : { transition };
  const idempotencyKey = randomUUID();
  const requestedAtMs = Date.now();
  const accepted = await eventually(
    async () => {
      const answer = await context.api.request<WorkspaceBody & BuildBody>('POST', path, { json, idempotencyKey });
      if (answer.status === 201) return answer.body;
      noteAnswer(run, { what: `${transition} was answered`, answer, allowed });
      return undefined;
    },
    { boundMs: acceptedWithinMs, everyMs: 100 },
  );
  if (accepted === undefined) {
    addFindings(run, [
      { kind: 'stuck', what: `the workspace accepted no ${transition} within ${acceptedWithinMs} ms` },
    ]);
    return undefined;
  }
  if (creates) run.workspaceId = accepted.id;
  const body = creates ? accepted.latest_build : accepted;
  const build = { id: body.id, jobId: body.job.id, transition, requestedAtMs };
  run.builds.push(build);
  context.stack.watch.watch(build.jobId);
  return build;
}

function noteAnswer(run: Run, seen: { what: string; answer: Answer<unknown>; allowed: readonly number[] }): void {
  const { what, answer, allowed } = seen;
  if (allowed.includes(answer.status)) return void run.notes.push(`${what} ${answer.status}`);
  addFindings(run, [{ kind: 'wrong', what: `${what} ${answer.status} ${JSON.stringify(answer.body).slice(0, 300)}` }]);
}

/**
 * Waits for the end of a build and keeps an eye on the states it stores meanwhile. Undefined when it is stuck: then it is
 * ended by force, so that it does not hold up the others.
 */
export async function buildOver(context: Context, run: Run, build: RequestedBuild): Promise<JobRow | undefined> {
  const { watch } = context.stack;
  const states: Promise<unknown>[] = [];
  let serial = -1;
  const stopLooking = watch.onChange(build.jobId, (row) => {
    if (row.stateSerial === serial) return;
    serial = row.stateSerial;
    // A tainted object may be gone again from the next state. While the API is away its states are not to be seen.
    states.push(readState(context, run, build).catch(() => undefined));
  });
  try {
    const row = await watch.until(build.jobId, ({ over }) => over, context.boundMs);
    if (row !== undefined) return row;
    const last = watch.row(build.jobId);
    const what = `${build.transition} is ${last?.status ?? 'unknown'} after ${context.boundMs / 1000} s`;
    addFindings(run, [{ kind: 'stuck', what: `${what} (attempt ${last?.attempt ?? '?'})` }]);
    await endByForce(context, build);
    return undefined;
  } finally {
    stopLooking();
    await Promise.all(states);
    watch.leave(build.jobId);
  }
}

async function endByForce(context: Context, build: RequestedBuild): Promise<void> {
  await context.api.request('PATCH', `/workspacebuilds/${build.id}/cancel`);
  for (const { workRoot } of context.hosts) {
    const terraform = terraformOf(workRoot, build.jobId);
    if (terraform !== undefined) signalAll(sessionOf(terraform), 'SIGKILL');
  }
  await context.stack.watch.until(build.jobId, ({ over }) => over, 30_000);
}

/** The state that a build has stored; undefined when it has none. Remembers what is tainted in it. */
async function readState(context: Context, run: Run, build: RequestedBuild): Promise<StoredState | undefined> {
  const { status, body } = await read<unknown>(context, `/workspacebuilds/${build.id}/state`);
  if (status === 404 || body === '') return undefined;
  if (status !== 200) throw new Error(`the state of build ${build.id} was answered with ${status}`);
  const state = parseStoredState(typeof body === 'string' ? body : JSON.stringify(body));
  for (const { tainted, objectId } of state.objects) if (tainted) run.tainted.add(objectId);
  return state;
}

/** The newest state that the workspace's builds have stored. */
export async function newestState(context: Context, run: Run): Promise<StoredState> {
  for (const build of run.builds.toReversed()) {
    const state = await readState(context, run, build);
    if (state !== undefined) return state;
  }
  return noState;
}
