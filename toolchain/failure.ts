/** A set-up step that failed, with the command or setting that would fix it. */
export class SetupFailure extends Error {
  readonly fix: string;
  constructor(message: string, fix: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'SetupFailure';
    this.fix = fix;
  }
}

/** One or two lines for a person: what failed and what to do. Unknown errors keep their stack, because nobody foresaw them. */
export function describeFailure(err: unknown): string {
  if (err instanceof SetupFailure) return `${err.message}\n  fix: ${err.fix}`;
  if (err instanceof Error) return err.stack ?? err.message;
  return String(err);
}

export const messageOf = (err: unknown): string => (err instanceof Error ? err.message : String(err));
