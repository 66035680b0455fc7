import { ApplicationFailure, CancelledFailure } from '@temporalio/activity';
import { isDatabaseAway } from '../db/client.ts';
import { DomainError, finalErrorCodes } from '../domain/errors.ts';

/** Message of the innermost cause. A failed query's own message carries its parameters, which may be secrets. */
export function messageOf(err: unknown): string {
  if (!(err instanceof Error)) return String(err);
  return err.cause instanceof Error ? messageOf(err.cause) : err.message;
}

/** What an activity may throw: histories are readable in the UI, so a failure carries a message of ours and no cause. */
export function toFailure(err: unknown): Error {
  if (err instanceof ApplicationFailure || err instanceof CancelledFailure) return err;
  if (err instanceof DomainError)
    return ApplicationFailure.create({
      message: err.message,
      type: err.code,
      nonRetryable: finalErrorCodes.includes(err.code),
    });
  if (isDatabaseAway(err))
    return ApplicationFailure.create({ message: `the database is away: ${messageOf(err)}`, type: 'UNAVAILABLE' });
  return ApplicationFailure.create({ message: messageOf(err), type: err instanceof Error ? err.name : 'Error' });
}

/** Activities whose every error is a failure as above; the one place where errors are translated. */
export function translateErrors<A extends Readonly<Record<string, (input: never) => Promise<unknown>>>>(
  activities: A,
): A {
  const translated = Object.entries(activities).map(([name, activity]) => [
    name,
    async (input: never) => {
      try {
        return await activity(input);
      } catch (err) {
        throw toFailure(err);
      }
    },
  ]);
  return Object.fromEntries(translated) as A;
}
