import type { Finding } from './oracle.ts';

export interface BuildRow {
  readonly id: string;
  readonly number: number;
  readonly transition: string;
  readonly reason: string;
  readonly active: boolean;
  readonly isLatest: boolean;
  readonly status: string;
  readonly over: boolean;
  /** The row says that its workflow was started. */
  readonly tracked: boolean;
  readonly workflowId: string;
  readonly audits: number;
  readonly parameters: number;
}

/** A workspace with all its builds, by number. */
export interface LifecycleWorkspaceRow {
  readonly id: string;
  readonly name: string;
  readonly scheduled: boolean;
  /** Null = never. */
  readonly nextStartAtMs: number | null;
  readonly latestBuildId: string;
  /** Messages to anybody that a build of it failed. */
  readonly failureMessages: number;
  readonly builds: readonly BuildRow[];
}

/** What has to come of a workspace: one build by one of these reasons. */
export interface WantedBuild {
  readonly transition: 'start' | 'stop';
  readonly reasons: readonly string[];
}

/** As Temporal has it. */
export interface WorkflowRuns {
  readonly runs: number;
  readonly open: boolean;
}

export interface LifecycleFacts {
  readonly before: readonly LifecycleWorkspaceRow[];
  readonly after: readonly LifecycleWorkspaceRow[];
  /** Null = nothing is due for it. */
  readonly wanted: (id: string) => WantedBuild | null;
  /** The database's clock when `after` was read. */
  readonly atMs: number;
  readonly workflows: ReadonlyMap<string, WorkflowRuns>;
}

export const buildsOf = (rows: readonly LifecycleWorkspaceRow[]): number =>
  rows.reduce((sum, { builds }) => sum + builds.length, 0);

/** Everything that is due has its build, and every build that waits has its workflow. */
export const isSettled = ({ before, after, wanted }: Pick<LifecycleFacts, 'before' | 'after' | 'wanted'>): boolean => {
  const had = new Map(before.map(({ id, builds }) => [id, builds.length]));
  return after.every(
    ({ id, builds }) =>
      (wanted(id) === null || builds.length > (had.get(id) ?? 0)) &&
      builds.every(({ over, tracked }) => over || tracked),
  );
};

/**
 * What was due was done once, and nothing else: one build each with the next number, its workflow, its entry in the audit log and
 * all the values of the one before; the next start lies in the future, and nobody was told of a failure.
 */
export function judgeLifecycle({ before, after, wanted, atMs, workflows }: LifecycleFacts): Finding[] {
  const now = new Map(after.map((row) => [row.id, row]));
  const findings: Finding[] = [];
  for (const was of before) {
    const row = now.get(was.id);
    if (row === undefined) findings.push({ kind: 'lost', what: `the row of ${was.name} is gone` });
    else findings.push(...judgeWorkspace(was, row, { wanted: wanted(was.id), atMs, workflows }));
  }
  return findings;
}

function judgeWorkspace(
  was: LifecycleWorkspaceRow,
  row: LifecycleWorkspaceRow,
  { wanted, atMs, workflows }: { wanted: WantedBuild | null } & Pick<LifecycleFacts, 'atMs' | 'workflows'>,
): Finding[] {
  const findings: Finding[] = [];
  const find = (kind: Finding['kind'], what: string) => void findings.push({ kind, what: `${row.name}: ${what}` });
  const { builds } = row;
  const known = new Set(was.builds.map(({ id }) => id));
  const made = builds.filter(({ id }) => !known.has(id));
  if (builds.length - made.length < known.size) find('lost', 'builds of before are gone');
  const asText = made.map(({ number, transition, reason }) => `${number} ${transition} by ${reason}`).join(', ');
  if (wanted === null && made.length > 0) find('duplicate', `nothing was due and was built: ${asText}`);
  if (wanted !== null && made.length === 0) find('lost', `no ${wanted.transition} came`);
  if (wanted !== null && made.length > 1) find('duplicate', `built more than once: ${asText}`);
  const numbers = builds.map(({ number }) => number);
  if (numbers.some((number, index) => number !== index + 1)) find('wrong', `its builds are ${numbers.join(', ')}`);
  if (builds.filter(({ active }) => active).length > 1) find('duplicate', 'two of its builds are active');
  const latest = builds.filter(({ isLatest }) => isLatest);
  if (latest.length !== 1 || latest[0] !== builds.at(-1) || latest[0]?.id !== row.latestBuildId)
    find(
      'wrong',
      `the latest of its builds ${numbers.join(', ')} are ${latest.map(({ number }) => number).join(', ')}`,
    );
  if (row.failureMessages > was.failureMessages) find('wrong', 'somebody was told that it failed');
  // What somebody starts by hand moves it at its end.
  const moves = row.scheduled && !(builds.at(-1)?.active === true && builds.at(-1)?.reason === 'initiator');
  if (moves && (row.nextStartAtMs === null || row.nextStartAtMs <= atMs))
    find(
      'wrong',
      `its next start is ${row.nextStartAtMs === null ? 'unset' : new Date(row.nextStartAtMs).toISOString()}`,
    );
  for (const build of made) {
    if (wanted !== null && !(build.transition === wanted.transition && wanted.reasons.includes(build.reason)))
      find('wrong', `it was built for something else: ${asText}`);
    if (build.status === 'failed' || build.status === 'canceled')
      find('wrong', `build ${build.number} ${build.status}`);
    if (build.active === build.over)
      find('wrong', `build ${build.number} is ${build.active ? '' : 'not '}active, its job ${build.status}`);
    if (build.audits !== 1) find('wrong', `build ${build.number} has ${build.audits} entries in the audit log`);
    if (build.parameters !== (was.builds.at(-1)?.parameters ?? 0))
      find('lost', `build ${build.number} has ${build.parameters} values`);
    const workflow = workflows.get(build.workflowId) ?? { runs: 0, open: false };
    if (!build.over && !(build.tracked && workflow.open))
      find('stuck', `build ${build.number} waits without a workflow`);
    if (workflow.runs > 1) find('duplicate', `build ${build.number} had ${workflow.runs} workflows`);
  }
  return findings;
}
