import { transaction } from '../db/client.ts';
import { findFileOwner, isInAdministeredVersion, upsertFile } from '../db/queries/files.ts';
import type { Db } from '../db/client.ts';
import { authorize, isAllowed } from '../domain/authorization.ts';
import { notFound } from '../domain/errors.ts';
import type { Subject } from '../domain/subject.ts';
import { toTemplateTar } from '../terraform/archive.ts';

/**
 * Stores a template archive as tar; the same bytes by the same user are stored once. Throws INVALID_INPUT or TOO_LARGE for
 * an archive that cannot be used. Source: spec/06 §5, spec/02 §2.2.
 */
export async function uploadFile(
  deps: { readonly db: Db },
  subject: Subject,
  upload: { readonly bytes: Buffer; readonly mimetype: string },
): Promise<{ id: string; created: boolean }> {
  authorize(subject, 'create', { type: 'file', ownerId: subject.id });
  const data = await toTemplateTar(upload.bytes, upload.mimetype);
  return transaction(deps.db, (tx) => upsertFile(tx, { createdBy: subject.id, mimetype: 'application/x-tar', data }));
}

/**
 * Throws NOT_FOUND unless the subject uploaded the file, may read all files, or administers a template that uses it.
 * Source: spec/07 §4.2.
 */
export async function authorizeFile(db: Db, subject: Subject, fileId: string): Promise<void> {
  const file = await findFileOwner(db, fileId);
  if (file === undefined) throw notFound();
  if (isAllowed(subject, 'read', { type: 'file', id: fileId, ownerId: file.createdBy })) return;
  // A narrow key stays narrow: its scopes must cover files too, whoever's they are.
  const mayReadFiles = isAllowed(subject, 'read', { type: 'file', id: fileId, ownerId: subject.id });
  if (!mayReadFiles || !(await isInAdministeredVersion(db, subject, fileId))) throw notFound();
}
