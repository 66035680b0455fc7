import { Context } from '@temporalio/activity';

/** Several within the policy's timeout: one that is late is no death. */
const beatEveryMs = 2_000;

/**
 * An activity that says all the time that its worker lives, so that a killed one is noticed in seconds and not at the activity's
 * time limit. Says nothing of progress.
 */
export const beating =
  <Input extends unknown[], Result>(activity: (...input: Input) => Promise<Result>) =>
  async (...input: Input): Promise<Result> => {
    const context = Context.current();
    const timer = setInterval(() => context.heartbeat(), beatEveryMs);
    try {
      return await activity(...input);
    } finally {
      clearInterval(timer);
    }
  };
