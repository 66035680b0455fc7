import { DomainError, invalidField } from './errors.ts';
import type { JobStatus, Transition } from './jobs.ts';

export interface ExtensibleBuild {
  readonly transition: Transition;
  readonly jobStatus: JobStatus;
  readonly jobCompletedAt: Date | null;
  readonly deadline: Date | null;
  readonly maxDeadline: Date | null;
}

/** Half an hour, less a minute: clients ask for half an hour by their own clocks. */
const leastLeftMs = 29 * 60_000;

/**
 * Whether the latest build of a workspace may stop at this instant, which may be earlier than before. Throws CONFLICT when it does
 * not stop by a deadline, INVALID_INPUT for field `deadline`. Source: spec/04 §6.5.
 */
export function checkExtension(build: ExtensibleBuild | undefined, deadline: Date, now: Date): void {
  if (build?.transition !== 'start') throw new DomainError('CONFLICT', 'The workspace is not started');
  if (build.jobStatus !== 'succeeded')
    throw new DomainError('CONFLICT', 'The workspace is not running', {
      detail: `its start has status ${build.jobStatus}`,
    });
  if (build.deadline === null)
    throw new DomainError('CONFLICT', 'The workspace has no deadline: it runs until it is stopped');
  if (deadline.getTime() < now.getTime() + leastLeftMs)
    throw invalidField('deadline', 'must be at least 30 minutes from now');
  if (build.jobCompletedAt !== null && deadline < build.jobCompletedAt)
    throw invalidField('deadline', 'must not be before the start of the workspace was complete');
  if (build.maxDeadline !== null && deadline > build.maxDeadline)
    throw invalidField('deadline', `must not be after ${build.maxDeadline.toISOString()}, when the template stops it`);
}
