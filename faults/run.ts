import type { Finding } from './oracle.ts';

export type Transition = 'start' | 'stop' | 'delete';

export interface RequestedBuild {
  readonly id: string;
  readonly jobId: string;
  readonly transition: Transition;
  /** When the request was sent for the first time. */
  readonly requestedAtMs: number;
}

/** One build that was in flight when the fault struck, with the whole life of its workspace. */
export interface Run {
  readonly scenario: string;
  /** `--seed <seed> --runs <size>` repeats its round. */
  readonly seed: number;
  readonly size: number;
  /** Name of its workspace. */
  readonly name: string;
  /** Empty until the workspace exists. */
  workspaceId: string;
  readonly builds: RequestedBuild[];
  /** Ids of objects that any stored state showed as tainted. */
  readonly tainted: Set<string>;
  readonly possibleOrphans: Map<string, ReadonlySet<string>>;
  readonly findings: Finding[];
  /** What a reader of a failure needs to know: moments, phases, answers. */
  readonly notes: string[];
  /** Where its build was when the fault struck; null = not known. */
  phase: string | null;
  /** Objects outside of the state that their builds list as possible orphans. */
  listed: number;
  /** Null when the fault met no running job. */
  recoveryMs: number | null;
  /** How often its agent began anew for another owner; null = it has no agent that runs. */
  reinits: number | null;
}

export const createRun = (facts: Pick<Run, 'scenario' | 'seed' | 'size' | 'name'>): Run => ({
  ...facts,
  workspaceId: '',
  builds: [],
  tainted: new Set(),
  possibleOrphans: new Map(),
  findings: [],
  notes: [],
  phase: null,
  listed: 0,
  recoveryMs: null,
  reinits: null,
});

/** The same thing is found again after every later build; it counts once. */
export function addFindings(run: Run, findings: readonly Finding[]): void {
  for (const finding of findings)
    if (!run.findings.some(({ kind, what }) => kind === finding.kind && what === finding.what))
      run.findings.push(finding);
}

/** The next build of the same workspace as a run of its own: what is known of the workspace stays, what was found does not. */
export const nextRun = (run: Run): Run => ({
  ...run,
  findings: [],
  notes: [],
  phase: null,
  listed: 0,
  recoveryMs: null,
  reinits: null,
});
