import type { BuildTimes } from './calibration.ts';
import type { Context, Foundation } from './context.ts';
import type { JobRow } from './job-watch.ts';
import type { Finding } from './oracle.ts';
import type { Random } from './random.ts';
import type { RecoverySign } from './recovery.ts';
import type { RequestedBuild, Run } from './run.ts';
import type { FleetOptions } from './stack/fleet.ts';

/** One scenario: what has to run for it, and how its runs are made. */
export interface Scenario {
  readonly name: string;
  readonly fleet: FleetOptions;
  /** A sentence about what is special in its settings, for standard error. */
  readonly remark?: string;
  /** Adds its hosts. Throws SetupFailure when this machine cannot play it. */
  readonly begin: (stage: Foundation) => Promise<void>;
  /** Makes the runs; tells each finished batch to `onRuns`. */
  readonly play: (context: Context, order: Order) => Promise<void>;
}

export interface Order {
  readonly runs: number;
  readonly seed: number;
  /** How long builds take here; measured by the scenario when absent. */
  readonly times?: BuildTimes;
  readonly onRuns: (runs: readonly Run[]) => Promise<void>;
}

/** A run and its build; undefined when it was never accepted. */
export interface Struck {
  readonly run: Run;
  readonly build: RequestedBuild | undefined;
}

export interface Accepted extends Struck {
  readonly build: RequestedBuild;
}

/** One batch of builds and the fault that strikes them all at the same moment. */
export interface Round {
  readonly context: Context;
  readonly random: Random;
  /** Builds that are accepted so far. */
  acceptedYet(): readonly Accepted[];
  /** The builds of the whole round, once each was accepted or given up. */
  accepted(): Promise<readonly Accepted[]>;
}

/** A fault at a random moment of several builds: most scenarios. */
export interface Strike {
  /** The builds are requested from this share of a build's time before the fault on; below 0: also during the fault. */
  readonly momentFrom?: number;
  readonly recovery?: RecoverySign;
  /** Answers to a build request, besides 201, that are right while the fault lasts. */
  readonly allowedAnswers?: readonly number[];
  /** How the struck build may end. */
  readonly expected: readonly string[];
  /** Does the harm. Resolves when the fault is over. */
  readonly strike: (round: Round) => Promise<void>;
  /** After all struck builds are over: everything has to be up again when this resolves. */
  readonly heal?: (round: Round) => Promise<void>;
  /** What this scenario alone has to see in a struck build that is over. */
  readonly inspect?: (round: Round, struck: { run: Run; build: RequestedBuild; row: JobRow }) => Promise<Finding[]>;
}
