import type { Config } from '../config.ts';
import type { Db } from '../db/client.ts';
import { violatedConstraint } from '../db/client.ts';
import type { AuditOrigin } from '../db/queries/audit-logs.ts';
import { DomainError, invalidField } from '../domain/errors.ts';
import type { Subject } from '../domain/subject.ts';

/** Who runs a command, and from where (for its audit row). */
export interface Caller {
  readonly subject: Subject;
  readonly origin: AuditOrigin;
}

/** What commands of the access area need. */
export interface AccessDeps {
  readonly db: Db;
  readonly config: Config;
  now(): Date;
}

/** Throws INVALID_INPUT naming the field when there is a problem. */
export function requireValid(field: string, problem: string | undefined): void {
  if (problem !== undefined) throw invalidField(field, problem);
}

/** A name that is already taken, as CONFLICT naming the field. */
export const taken = (field: string): DomainError =>
  new DomainError('CONFLICT', `This ${field} is already taken`, {
    validations: [{ field, detail: 'is already taken' }],
  });

/** Runs `work`; a violation of one of the constraints becomes the CONFLICT of its field. */
export async function withConflicts<T>(fields: Readonly<Record<string, string>>, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (err) {
    const field = fields[violatedConstraint(err) ?? ''];
    throw field === undefined ? err : taken(field);
  }
}
