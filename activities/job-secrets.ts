import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { JobRun } from './job-run.ts';

const place = (jobId: string): string => `jobs:secrets:${jobId}`;
const secretsFile = (run: JobRun): string => join(run.directory, 'secrets');

/** Keeps what has to be masked in the job's log, encrypted, for a worker that takes over while Terraform runs on. */
export async function saveSecrets(run: JobRun): Promise<void> {
  const { cipher } = run.deps;
  const sealed = cipher.encrypt(place(run.job.id), Buffer.from(JSON.stringify(run.redactor.added())));
  const text = JSON.stringify({ keyId: cipher.keyId, sealed: sealed.toString('base64') });
  await writeFile(secretsFile(run), text, { mode: 0o600 });
}

/** Throws when they cannot be read: rather no log than one with secrets. */
export async function loadSecrets(run: JobRun): Promise<void> {
  const { keyId, sealed } = JSON.parse(await readFile(secretsFile(run), 'utf8')) as { keyId: string; sealed: string };
  const secrets = run.deps.cipher.decrypt(place(run.job.id), keyId, Buffer.from(sealed, 'base64'));
  run.redactor.add(JSON.parse(secrets.toString('utf8')) as string[]);
}
