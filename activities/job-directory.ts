import { createHash } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { getFile } from '../db/queries/files.ts';
import type { Db } from '../db/client.ts';
import { extractTar, extractTemplate } from '../terraform/archive.ts';
import type { JobRun } from './job-run.ts';

/** A stored archive whose bytes match its hash; undefined when it is missing or damaged. */
export async function readArchive(db: Db, fileId: string): Promise<Buffer | undefined> {
  const row = await getFile(db, fileId);
  if (row === undefined) return undefined;
  return createHash('sha256').update(row.data).digest('hex') === row.hash ? row.data : undefined;
}

/** Unpacks the template's source into a directory, which is made when missing. Answers the archive. */
export async function extractInto(run: JobRun, directory: string): Promise<Buffer> {
  const archive = await readArchive(run.deps.db, run.job.fileId);
  if (archive === undefined) throw new Error(`the template archive ${run.job.fileId} is missing or damaged`);
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await extractTemplate(archive, directory);
  return archive;
}

/** Puts back what the import pinned: module archive and provider lock file (spec/02 §2.10). Never blocks a run. */
export async function restorePins(
  run: JobRun,
  directory: string,
  pins: { moduleFiles: string | null; lockFile: string },
): Promise<void> {
  if (pins.lockFile !== '') await writeFile(join(directory, '.terraform.lock.hcl'), pins.lockFile);
  if (pins.moduleFiles === null) return;
  const archive = await readArchive(run.deps.db, pins.moduleFiles);
  if (archive === undefined)
    run.log.say('warn', 'The cached modules are missing or damaged; they are downloaded again.');
  else await extractTar(archive, directory);
}
