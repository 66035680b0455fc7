/** What scripts can trust; see README "Exit codes". */
export const exitCodes = {
  ok: 0,
  failed: 1,
  usage: 2,
  notSignedIn: 3,
  notFound: 4,
  unreachable: 5,
  interrupted: 130,
} as const;
export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

export interface Validation {
  readonly field: string;
  readonly detail: string;
}
export interface CliErrorOptions {
  readonly exitCode?: ExitCode;
  /** What to do about it, as a sentence or a command. */
  readonly next?: string;
  readonly detail?: string;
  readonly validations?: readonly Validation[];
  /** HTTP status, when a server has answered. */
  readonly status?: number;
  /** What --json prints instead of the error: the build that failed, say. */
  readonly document?: unknown;
}

/** An end that was foreseen: one sentence and the next step, never a stack. */
export class CliError extends Error {
  readonly exitCode: ExitCode;
  readonly next: string | undefined;
  readonly detail: string | undefined;
  readonly validations: readonly Validation[];
  readonly status: number | undefined;
  readonly document: unknown;

  constructor(message: string, options: CliErrorOptions = {}) {
    super(message);
    this.name = 'CliError';
    this.exitCode = options.exitCode ?? exitCodes.failed;
    this.next = options.next;
    this.detail = options.detail;
    this.validations = options.validations ?? [];
    this.status = options.status;
    this.document = options.document;
  }
}

export const usageError = (message: string, next?: string): CliError =>
  new CliError(message, { exitCode: exitCodes.usage, ...(next !== undefined && { next }) });

/** The same error with a better next step, for callers that know more than the request did. */
export const withNext = (error: CliError, next: string): CliError =>
  new CliError(error.message, {
    exitCode: error.exitCode,
    next,
    validations: error.validations,
    ...(error.detail !== undefined && { detail: error.detail }),
    ...(error.status !== undefined && { status: error.status }),
    document: error.document,
  });

export const isStatus = (err: unknown, ...statuses: number[]): err is CliError =>
  err instanceof CliError && err.status !== undefined && statuses.includes(err.status);

/** As people read it: what went wrong, each field on a line, what to do. */
export function describeError(error: CliError): string {
  const sentence = error.message.replace(/[.\s]+$/, '');
  const lines = [error.detail === undefined || error.detail === '' ? sentence : `${sentence}: ${error.detail}`];
  for (const { field, detail } of error.validations) lines.push(`  ${field === '' ? '(request)' : field}: ${detail}`);
  if (error.next !== undefined) lines.push(`  next: ${error.next}`);
  return lines.join('\n');
}
