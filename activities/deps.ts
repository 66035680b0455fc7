import type { ReconcileDeps } from '../commands/reconcile-preset.ts';
import type { TemporalStarter } from '../commands/temporal.ts';
import type { TransitionDeps } from '../commands/transition-workspaces.ts';
import type { Db } from '../db/client.ts';
import type { ColumnCipher } from '../db/encryption.ts';
import type { LeaseTimes } from '../domain/lease.ts';
import type { QuietHoursSettings } from '../domain/quiet-hours.ts';
import type { Shims } from '../terraform/shims.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { Slots } from './slots.ts';
import type { Metrics } from '../telemetry/metrics.ts';

/** What a control worker's activities need. */
export interface ControlDeps {
  readonly db: Db;
  readonly logger: Logger;
  readonly temporal: TemporalStarter;
  /** Whether Temporal still has an open workflow of this id. Rejects when the server cannot be asked. */
  readonly isWorkflowOpen: (workflowId: string) => Promise<boolean>;
  /** A job that waits this long while no live worker polls its queue is failed; 0 = never (spec/02 §1.9). */
  readonly pendingJobTimeoutMs: number;
}

/** What the hourly upkeep needs. */
export interface UpkeepDeps {
  readonly db: Db;
  readonly metrics: Pick<Metrics, 'purged' | 'purgeEnded'>;
  /** Logs of agents outside the latest build that were not seen for so long go; 0 = never (spec/05 §8). */
  readonly agentLogRetentionMs: number;
}

/** What the reconciliation of pools needs. */
export interface PrebuildDeps extends ReconcileDeps {
  /** Presets that are acted on at once: half of the process's connections, so that nobody else waits for one. */
  readonly poolConcurrency: number;
  /** Pool builds pending or running at once; undefined = half of the slots of all live workers, 0 = no limit. */
  readonly maxInFlight: number | undefined;
  /** Makes a cycle begin at this instant. Kept in memory: the schedule's tick is what counts. */
  readonly wakeAt: (at: Date) => void;
  readonly metrics: ReconcileDeps['metrics'] & Pick<Metrics, 'poolsReconciled' | 'poolAction'>;
}

/** What the lifecycle of workspaces needs. */
export interface LifecycleDeps extends TransitionDeps {
  /** Transactions at once. */
  readonly lifecycleConcurrency: number;
  /** Builds that one tick may insert. */
  readonly maxBuildsPerTick: number;
  readonly metrics: TransitionDeps['metrics'] & Pick<Metrics, 'lifecyclePage' | 'lifecycleTick'>;
}

/** What one Terraform and everything that it starts may use. */
export interface RunLimits {
  /** Free bytes on the work root's disk below which no job begins and a running one is asked to stop; 0 = no limit. */
  readonly minFreeBytes: number;
  /** Processes at once; 0 = no limit. */
  readonly maxProcesses: number;
  readonly openFiles: number;
  /** Makes the cgroup of a job and returns its directory; null where there are none. */
  readonly cgroup: ((jobId: string) => string) | null;
}

/** What a provisioner worker's activities need. */
export interface ProvisionerDeps {
  readonly db: Db;
  readonly cipher: ColumnCipher;
  readonly logger: Logger;
  readonly metrics: Pick<Metrics, 'jobTaken' | 'claimed' | 'workspaceCreated' | 'claimDrifted'>;
  readonly slots: Slots;
  readonly shims: Shims;
  readonly lease: LeaseTimes;
  readonly limits: RunLimits;
  readonly terraform: {
    readonly path: string;
    readonly version: string;
    /** Terraform CLI configuration with the provider mirror. */
    readonly cliConfigPath: string | null;
    /** The worker's own environment; filtered before Terraform sees it (terraform/environment.ts). */
    readonly workerEnvironment: NodeJS.ProcessEnv;
  };
  readonly accessUrl: string;
  /** What machines run to start their agents: `linux_amd64` → text (agent/init-script.ts). */
  readonly agentScripts: Readonly<Record<string, string>>;
  readonly workRoot: string;
  readonly hostId: string;
  readonly workerId: string;
  /** How long an interrupted Terraform may take before its group is killed (spec/02 §1.7). */
  readonly forceCancelMs: number;
  /** How long a job may take, counted from when it was taken first (spec/04 §11). */
  readonly buildTimeoutMs: number;
  /** How long a stop or delete waits for the stop scripts of agents; 0 = it does not (spec/05 §6). */
  readonly drainTimeoutMs: number;
  /** Builds take what they cost out of their owners' budgets (domain/quota.ts). */
  readonly quotaEnabled: boolean;
  /** What a deployment says of quiet hours: required stops keep to them. */
  readonly quietHours: QuietHoursSettings;
  readonly externalAuthIds: readonly string[];
  readonly maxTokenLifetimeMs: number;
}
