/** Provisioner jobs: the words and rules that need no database. Source: spec/01 §3, spec/02 §1. */
export type JobStatus = 'pending' | 'running' | 'succeeded' | 'canceling' | 'canceled' | 'failed' | 'unknown';
export type Transition = 'start' | 'stop' | 'delete';

export const jobPriority = { interactive: 1, import: 2, automatic: 3, pool: 4 } as const;

/** Truth table of spec/02 §1.3; the generated column `job_status` computes the same. */
export function jobStatus(job: {
  startedAt: Date | null;
  canceledAt: Date | null;
  completedAt: Date | null;
  error: string | null;
}): JobStatus {
  if (job.error !== null && job.error !== '') return 'failed';
  if (job.completedAt !== null) return job.canceledAt !== null ? 'canceled' : 'succeeded';
  if (job.canceledAt !== null) return 'canceling';
  return job.startedAt === null ? 'pending' : 'running';
}

export const isActiveJob = (status: JobStatus): boolean =>
  status === 'pending' || status === 'running' || status === 'canceling';

/** Status of a workspace from its latest build (spec/01 §6.1). */
export type WorkspaceStatus =
  | 'pending'
  | 'starting'
  | 'running'
  | 'stopping'
  | 'stopped'
  | 'failed'
  | 'canceling'
  | 'canceled'
  | 'deleting'
  | 'deleted';

export function workspaceStatus(job: JobStatus, transition: Transition): WorkspaceStatus {
  switch (job) {
    case 'running':
      return ({ start: 'starting', stop: 'stopping', delete: 'deleting' } as const)[transition];
    case 'succeeded':
      return ({ start: 'running', stop: 'stopped', delete: 'deleted' } as const)[transition];
    case 'pending':
    case 'canceling':
    case 'canceled':
    case 'failed':
      return job;
    case 'unknown':
      return 'pending';
  }
}

/**
 * Canonical tags of a job (spec/02 §1.4): `scope` organization (owner empty) or user (owner = the user's id), the rest
 * merged in. Null bytes are refused by the caller's schema.
 */
export function normalizeTags(tags: Readonly<Record<string, string>>, userId: string): Record<string, string> {
  const scope = tags.scope === 'user' ? 'user' : 'organization';
  return { ...tags, scope, owner: scope === 'user' ? userId : '' };
}

const isDefaultTags = (tags: Readonly<Record<string, string>>): boolean =>
  Object.keys(tags).length === 2 && tags.scope === 'organization' && tags.owner === '';

/** May a worker pool with tags `worker` take a job with tags `job`? J ⊆ W; default-tagged jobs need an untagged pool. */
export function poolServes(worker: Readonly<Record<string, string>>, job: Readonly<Record<string, string>>): boolean {
  if (isDefaultTags(job)) return isDefaultTags(worker);
  return Object.entries(job).every(([key, value]) => worker[key] === value);
}

/** Text that identifies a tag set: sorted pairs. Its hash names the task queue. */
export const canonicalTags = (tags: Readonly<Record<string, string>>): string =>
  Object.keys(tags)
    .toSorted()
    .map((key) => `${key}\0${tags[key] ?? ''}\0`)
    .join('');
