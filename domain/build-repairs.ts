import type { JobStatus, Transition } from './jobs.ts';

/** Repeating a build: to retry it, or to read the world into the state without changing anything. */
export type Repetition = 'retry' | 'refresh';

/** The latest build of a workspace, as the repairs see it. */
export interface RepairableBuild {
  readonly transition: Transition;
  readonly jobStatus: JobStatus;
  readonly refreshOnly: boolean;
}

/** Why the latest build cannot be repeated in this way, as a sentence and what to do instead; null when it can. */
export function repeatObstacle(
  repetition: Repetition,
  latest: RepairableBuild,
): { readonly message: string; readonly detail: string } | null {
  switch (latest.jobStatus) {
    case 'pending':
    case 'running':
    case 'canceling':
    case 'unknown':
      return {
        message: 'A build of this workspace is already active',
        detail: 'Wait until it has finished, or cancel it.',
      };
    case 'succeeded':
      return repetition === 'retry' ? nothingToRetry : deleteObstacle(latest);
    case 'failed':
    case 'canceled':
      if (repetition === 'retry' || latest.refreshOnly) return null;
      return {
        message: `The latest build, a ${latest.transition}, ${latest.jobStatus === 'failed' ? 'has failed' : 'was canceled'}`,
        detail: 'Retry it: that reads the world into the state as well, before it changes anything.',
      };
  }
}

const nothingToRetry = {
  message: 'The latest build has succeeded: there is nothing to retry',
  detail: 'Only a build that failed or was canceled can be retried.',
};

/** A workspace whose delete has succeeded is gone before anybody asks; the rule does not depend on it. */
const deleteObstacle = ({ transition }: RepairableBuild) =>
  transition === 'delete'
    ? {
        message: 'The latest build is a delete: nothing is left to be read',
        detail: 'Only a workspace that was started or stopped can be refreshed.',
      }
    : null;
