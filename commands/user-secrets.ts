import { randomUUID } from 'node:crypto';
import { type Db, pipelined, transaction, violatedConstraint } from '../db/client.ts';
import type { ColumnCipher } from '../db/encryption.ts';
import { auditDiff } from '../db/queries/audit-fields.ts';
import { insertAudit } from '../db/queries/audit-logs.ts';
import {
  type SecretRow,
  deleteSecret,
  findSecret,
  insertSecrets,
  listSecrets,
  sealSecret,
  updateSecret,
} from '../db/queries/user-secrets.ts';
import { lockUser } from '../db/queries/users.ts';
import { authorize } from '../domain/authorization.ts';
import type { Action } from '../domain/authorization.ts';
import { DomainError, type FieldError, notFound } from '../domain/errors.ts';
import { type SecretFileFormat, parseSecretFile } from '../domain/secret-files.ts';
import {
  type SecretFields,
  normalizeSecretPath,
  secretConflicts,
  secretLimits,
  secretProblems,
  targetProblems,
} from '../domain/user-secrets.ts';
import { type AccessDeps, type Caller, withConflicts } from './caller.ts';

export type SecretDeps = AccessDeps & { readonly cipher: ColumnCipher };

const takenFields = {
  user_secrets_name_idx: 'name',
  user_secrets_env_name_idx: 'env_name',
  user_secrets_file_path_idx: 'file_path',
};
/** What the trigger of the table holds, as the field that a person would change. */
const limitFields: Readonly<Record<string, FieldError>> = {
  user_secrets_count: { field: 'name', detail: `a user has at most ${secretLimits.secretsPerUser} secrets` },
  user_secrets_bytes: {
    field: 'value',
    detail: `the values of a user's secrets have at most ${secretLimits.bytesPerUser} bytes in all`,
  },
  user_secrets_env_bytes: {
    field: 'env_name',
    detail: `the values of a user's secrets with an env_name have at most ${secretLimits.envBytesPerUser} bytes in all`,
  },
};

const invalid = (validations: readonly FieldError[]) =>
  new DomainError('INVALID_INPUT', 'The secret is not valid', { validations });
const conflict = (validations: readonly FieldError[]) =>
  new DomainError('CONFLICT', 'Another secret has this already', { validations });

/** Nobody but the user himself has permissions on them: for everybody else, site owners too, they do not exist. */
export const authorizeSecret = (
  caller: Pick<Caller, 'subject'>,
  action: Action,
  of: { ownerId: string; id?: string },
) => authorize(caller.subject, action, { type: 'user_secret', ...of });

interface Named {
  readonly ownerId: string;
  readonly name: string;
}

async function findFor(db: Db, caller: Caller, action: Action, { ownerId, name }: Named): Promise<SecretRow> {
  const row = await findSecret(db, ownerId, name);
  authorizeSecret(caller, action, { ownerId, ...(row !== undefined && { id: row.id }) });
  if (row === undefined) throw notFound();
  return row;
}

/** Throws NOT_FOUND. */
export const getSecret = (deps: Pick<AccessDeps, 'db'>, caller: Caller, of: Named): Promise<SecretRow> =>
  findFor(deps.db, caller, 'read', of);

/**
 * Runs a write under the lock of the user's row, so that limits and conflicts are counted one after the other. Limits become
 * INVALID_INPUT, and conflicts that only the index saw CONFLICT; system users are not found.
 */
async function write<T>(deps: SecretDeps, ownerId: string, work: (tx: Db) => Promise<T>): Promise<T> {
  try {
    return await withConflicts(takenFields, () =>
      transaction(deps.db, async (tx) => {
        await lockUser(tx, ownerId);
        return work(tx);
      }),
    );
  } catch (err) {
    const constraint = violatedConstraint(err) ?? '';
    if (constraint === 'user_secrets_owner_usable') throw notFound();
    const limit = limitFields[constraint];
    throw limit === undefined ? err : invalid([limit]);
  }
}

const auditSecret = (
  tx: Db,
  context: { readonly caller: Caller; readonly time: Date },
  row: {
    readonly action: 'create' | 'write' | 'delete';
    readonly statusCode: number;
    readonly before: SecretRow | null;
    readonly after: SecretRow | null;
    /** It was given with the request, the same as before or not. */
    readonly valueSet: boolean;
  },
): Promise<void> => {
  const { before, after, action, statusCode, valueSet } = row;
  const secret = (after ?? before)!;
  return insertAudit(tx, {
    origin: context.caller.origin,
    time: context.time,
    resourceType: 'user_secret',
    resourceId: secret.id,
    resourceTarget: secret.name,
    action,
    statusCode,
    // Values are shown blank whatever stands here; that they differ is what counts.
    diff: auditDiff(
      'user_secret',
      before === null ? null : { ...before, value: 'before' },
      after === null ? null : { ...after, ...(valueSet && { value: 'after' }) },
    ),
  });
};

async function insertAll(
  deps: SecretDeps,
  caller: Caller,
  input: {
    ownerId: string;
    secrets: readonly SecretFields[];
    label: (index: number, problem: FieldError) => FieldError;
  },
): Promise<SecretRow[]> {
  const { ownerId, label } = input;
  authorizeSecret(caller, 'create', { ownerId });
  const secrets = input.secrets.map((secret) => ({ ...secret, filePath: normalizeSecretPath(secret.filePath) }));
  const problems = input.secrets.flatMap((secret, index) =>
    [...secretProblems(secret), ...targetProblems(secret)].map((problem) => label(index, problem)),
  );
  if (problems.length > 0) throw invalid(problems);
  const time = deps.now();
  return write(deps, ownerId, async (tx) => {
    const existing = await listSecrets(tx, ownerId);
    const conflicts = secrets.flatMap((secret, index) =>
      secretConflicts(secret, [...existing, ...secrets.slice(0, index)]).map((problem) => label(index, problem)),
    );
    if (conflicts.length > 0) throw conflict(conflicts);
    const rows = secrets.map(({ value, ...fields }) => {
      const row = { id: randomUUID(), userId: ownerId, ...fields, createdAt: time, updatedAt: time };
      return { row, sealed: sealSecret(deps.cipher, row.id, value) };
    });
    await pipelined([
      insertSecrets(
        tx,
        rows.map(({ row, sealed }) => ({ ...row, ...sealed })),
      ),
      ...rows.map(({ row }) =>
        auditSecret(
          tx,
          { caller, time },
          { action: 'create', statusCode: 201, before: null, after: row, valueSet: true },
        ),
      ),
    ]);
    return rows.map(({ row }) => row);
  });
}

/** Throws INVALID_INPUT and CONFLICT with every offending field, NOT_FOUND for anybody but the owner. Source: spec/07 §9. */
export async function createSecret(
  deps: SecretDeps,
  caller: Caller,
  input: { ownerId: string; secret: SecretFields },
): Promise<SecretRow> {
  const { ownerId, secret } = input;
  const [row] = await insertAll(deps, caller, { ownerId, secrets: [secret], label: (_, problem) => problem });
  return row!;
}

const maxFileBytes = 1_048_576;

/**
 * All secrets of a file or none; each becomes a variable of its own name. Throws as `createSecret`, fields behind
 * `secrets[i].`, and TOO_LARGE.
 */
export async function createSecretsOfFile(
  deps: SecretDeps,
  caller: Caller,
  input: { ownerId: string; format: SecretFileFormat; content: string },
): Promise<SecretRow[]> {
  const { ownerId, format, content } = input;
  // Before the file is read: nobody else shall learn whether it is a good one.
  authorizeSecret(caller, 'create', { ownerId });
  if (Buffer.byteLength(content) > maxFileBytes)
    throw new DomainError('TOO_LARGE', `The file is larger than ${maxFileBytes} bytes`);
  const secrets = parseSecretFile(format, content).map((entry) => ({
    ...entry,
    description: '',
    envName: entry.name,
    filePath: '',
    enabled: true,
  }));
  return insertAll(deps, caller, {
    ownerId,
    secrets,
    label: (index, { field, detail }) => ({ field: `secrets[${index}].${field}`, detail }),
  });
}

/** Absent = unchanged, '' clears a target. Throws as `createSecret`, and NOT_FOUND when there is no such secret. */
export async function changeSecret(
  deps: SecretDeps,
  caller: Caller,
  input: Named & { readonly change: Partial<Omit<SecretFields, 'name'>> },
): Promise<SecretRow> {
  const { change, ...of } = input;
  const { value, ...given } = change;
  // Nobody takes the lock of somebody else's row.
  await findFor(deps.db, caller, 'update', of);
  if (Object.keys(change).length === 0)
    throw new DomainError('INVALID_INPUT', 'Nothing is to be changed', {
      detail: 'Give at least one of value, description, env_name, file_path, enabled.',
    });
  const time = deps.now();
  return write(deps, of.ownerId, async (tx) => {
    const before = await findFor(tx, caller, 'update', of);
    const fields = {
      ...given,
      ...(given.filePath !== undefined && { filePath: normalizeSecretPath(given.filePath) }),
    };
    const after = { ...before, ...fields, updatedAt: time };
    const problems = [...secretProblems(change), ...targetProblems(after)];
    if (problems.length > 0) throw invalid(problems);
    const others = (await listSecrets(tx, of.ownerId)).filter(({ id }) => id !== before.id);
    const conflicts = secretConflicts(fields, others);
    if (conflicts.length > 0) throw conflict(conflicts);
    const sealed = value === undefined ? undefined : sealSecret(deps.cipher, before.id, value);
    await updateSecret(tx, before.id, { ...fields, ...sealed, updatedAt: time });
    await auditSecret(
      tx,
      { caller, time },
      { action: 'write', statusCode: 200, before, after, valueSet: sealed !== undefined },
    );
    return after;
  });
}

/** Throws NOT_FOUND. Files that an agent has written stay; a running workspace keeps its variables until it restarts. */
export async function removeSecret(deps: SecretDeps, caller: Caller, of: Named): Promise<void> {
  await findFor(deps.db, caller, 'delete', of);
  const time = deps.now();
  await write(deps, of.ownerId, async (tx) => {
    const before = await findFor(tx, caller, 'delete', of);
    await deleteSecret(tx, before.id);
    await auditSecret(
      tx,
      { caller, time },
      { action: 'delete', statusCode: 204, before, after: null, valueSet: false },
    );
  });
}
