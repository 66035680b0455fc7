import { continueAsNew, setCurrentDetails, workflowInfo } from '@temporalio/workflow';
import { lifecycle } from './policies.ts';

/** How far a tick has come. */
export interface LifecycleProgress {
  /** The minute that everything is compared with, RFC 3339. */
  readonly tick: string;
  /** What was looked at last; null = everything was. */
  readonly after: { readonly at: string; readonly id: string } | null;
  /** Builds that may still be inserted in this tick. */
  readonly buildsLeft: number;
  readonly builds: number;
  /** What was found, by what it seemed due for. */
  readonly due: Readonly<Record<string, number>>;
  readonly actions: Readonly<Record<string, number>>;
  readonly skipped: Readonly<Record<string, number>>;
}

export interface LifecycleInput {
  /** Given where a run goes on; absent = the database's present minute, from the start. */
  readonly progress?: LifecycleProgress;
}

export interface LifecyclePage {
  readonly progress: LifecycleProgress | undefined;
  /** When the tick ought to have begun, and did; ms since 1970. */
  readonly scheduledAt: number;
  readonly startedAt: number;
}

/** A run of tens of thousands of workspaces must not become a history of as many events. */
const pagesPerRun = 40;

/**
 * One look at what is due by the clock, page after page, each an activity that decides again under locks. Builds are started and
 * not awaited. What a run does not get to stays due. Source: spec/04 §2.
 */
export async function runLifecycle({ progress: given }: LifecycleInput = {}): Promise<
  Omit<LifecycleProgress, 'after'>
> {
  const { startTime, searchAttributes } = workflowInfo();
  const scheduled = searchAttributes['TemporalScheduledStartTime']?.[0];
  const startedAt = startTime.getTime();
  const scheduledAt = scheduled instanceof Date ? scheduled.getTime() : startedAt;
  let progress = given;
  for (let page = 0; page < pagesPerRun; page += 1) {
    progress = await lifecycle.runLifecyclePage({ progress, scheduledAt, startedAt });
    if (progress.after !== null) continue;
    const { after: _, ...result } = progress;
    setCurrentDetails(summaryOf(result));
    return result;
  }
  return continueAsNew<typeof runLifecycle>({ progress: progress! });
}

const listOf = (counts: Readonly<Record<string, number>>): string =>
  Object.entries(counts)
    .map(([name, count]) => `${count} ${name}`)
    .join(', ');

const summaryOf = ({ tick, builds, actions, skipped }: Omit<LifecycleProgress, 'after'>): string =>
  `${tick}: ${builds} builds (${listOf(actions)}), skipped: ${listOf(skipped) || 'none'}`;
