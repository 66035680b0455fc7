import { createHash } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { getFile } from '../db/queries/files.ts';
import type { Db } from '../db/client.ts';
import { extractTar, extractTemplate } from '../terraform/archive.ts';
import type { JobRun } from './job-run.ts';
import { sourceDirectory } from './leftovers.ts';

/** A stored archive whose bytes match its hash; undefined when it is missing or damaged. */
export async function readArchive(db: Db, fileId: string): Promise<Buffer | undefined> {
  const row = await getFile(db, fileId);
  if (row === undefined) return undefined;
  return createHash('sha256').update(row.data).digest('hex') === row.hash ? row.data : undefined;
}

/** Lays the template's source into the run's working directory. */
export async function extractSource(run: JobRun): Promise<{ directory: string; archive: Buffer }> {
  const archive = await readArchive(run.deps.db, run.job.fileId);
  if (archive === undefined) throw new Error(`the template archive ${run.job.fileId} is missing or damaged`);
  const directory = sourceDirectory(run);
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await extractTemplate(archive, directory);
  return { directory, archive };
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
