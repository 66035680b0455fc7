/**
 * Every error that leaves a decision, command or activity has one of these codes. `api/errors.ts` maps them to a status,
 * the workflow proxies never retry the final ones. Source: spec/06 §1 (statuses), spec/02 §1.5 (job error codes).
 */
export const errorCodes = [
  'INVALID_INPUT',
  'UNAUTHENTICATED',
  'FORBIDDEN',
  'NOT_FOUND',
  'NOT_ALLOWED_STATE',
  'CONFLICT',
  'GONE',
  'EXPECTATION_FAILED',
  'USER_HAS_WORKSPACES',
  'TOO_LARGE',
  'BYPASS_REFUSED',
  'RATE_LIMITED',
  'UNAVAILABLE',
  // What an agent was asked for did not come: not in time, or it said that it failed.
  'AGENT_TIMEOUT',
  'AGENT_FAILED',
  'NOT_IMPLEMENTED',
  'NO_ACTOR',
  // Job error codes (spec/02 §1.5) and final failures of a run.
  'REQUIRED_TEMPLATE_VARIABLES',
  'MISSING_TEMPLATE_PARAMETER',
  'INSUFFICIENT_QUOTA',
  'INVALID_TEMPLATE',
  'TERRAFORM_FAILED',
  'NOT_HERE',
  'LEASE_HELD',
  'WORKER_STOPPED',
  'WORKER_LOST',
  'STATE_REJECTED',
  // A stored state that cannot be decrypted, unzipped or does not match its checksum.
  'STATE_DAMAGED',
] as const;
export type ErrorCode = (typeof errorCodes)[number];

const passingErrorCodes: readonly ErrorCode[] = [
  'LEASE_HELD',
  'NOT_HERE',
  'WORKER_STOPPED',
  'WORKER_LOST',
  'UNAVAILABLE',
];

/** Errors a retry cannot cure: never retried by a workflow. */
export const finalErrorCodes: readonly ErrorCode[] = errorCodes.filter((code) => !passingErrorCodes.includes(code));

export interface FieldError {
  field: string;
  detail: string;
}

/** An expected error. `message` is one sentence for the user, `validations` name the offending fields. */
export class DomainError extends Error {
  readonly code: ErrorCode;
  readonly detail: string | undefined;
  readonly validations: readonly FieldError[];
  readonly retryAfterSeconds: number | undefined;
  constructor(
    code: ErrorCode,
    message: string,
    extra: { detail?: string; validations?: readonly FieldError[]; retryAfterSeconds?: number } = {},
  ) {
    super(message);
    this.name = 'DomainError';
    this.code = code;
    this.detail = extra.detail;
    this.validations = extra.validations ?? [];
    this.retryAfterSeconds = extra.retryAfterSeconds;
  }
}

/** 400 for one field. */
export const invalidField = (field: string, detail: string): DomainError =>
  new DomainError('INVALID_INPUT', detail, { validations: [{ field, detail }] });

/** 404 with one text for "missing" and "not readable", so that existence is never told. */
export const notFound = (): DomainError =>
  new DomainError('NOT_FOUND', 'Resource not found or you do not have access to this resource');
