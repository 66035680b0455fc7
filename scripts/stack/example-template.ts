import { readFileSync, readdirSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { pack } from 'tar-stream';
import { SetupFailure } from '../../toolchain/failure.ts';
import type { Step } from '../../toolchain/progress.ts';
import type { CliSession } from './first-user.ts';
import { callApi } from './http.ts';

interface Version {
  readonly id: string;
  readonly job: { readonly status: string; readonly error?: string };
}

/** A directory as a tar archive, in name order, so that the same files give the same bytes. */
export async function packDirectory(root: string): Promise<Buffer> {
  const archive = pack();
  const add = (folder: string): void => {
    for (const name of readdirSync(folder).toSorted()) {
      const path = join(folder, name);
      const { mode } = statSync(path);
      if (statSync(path).isDirectory()) {
        if (name !== '.terraform') add(path);
      } else archive.entry({ name: relative(root, path), mode: mode & 0o777, mtime: new Date(0) }, readFileSync(path));
    }
  };
  add(root);
  archive.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of archive) chunks.push(Buffer.from(chunk as Uint8Array));
  return Buffer.concat(chunks);
}

/** Imports a template directory through the API when the deployment has no template yet. Returns its name, null if there is one. */
export async function importFirstTemplate(
  { url, token }: CliSession,
  { folder, name, displayName }: { folder: string; name: string; displayName: string },
  step: Step,
): Promise<string | null> {
  const templates = await callApi<unknown[]>(url, '/api/v2/templates', { token, expect: [200] });
  if (templates.body.length > 0) return null;
  step.update('uploading');
  const bytes = await packDirectory(folder);
  const file = await callApi<{ hash: string }>(url, '/api/v2/files', {
    method: 'POST',
    token,
    raw: { type: 'application/x-tar', bytes },
    expect: [200, 201],
  });
  const organization = '/api/v2/organizations/default';
  const { body: version } = await callApi<Version>(url, `${organization}/templateversions`, {
    method: 'POST',
    token,
    json: { storage_method: 'file', file_id: file.body.hash, provisioner: 'terraform', tags: {} },
    expect: [201],
  });
  await waitForImport({ url, token }, version.id, step);
  await callApi(url, `${organization}/templates`, {
    method: 'POST',
    token,
    json: { name, display_name: displayName, template_version_id: version.id },
    // 409: another `up` was faster.
    expect: [201, 409],
  });
  return name;
}

async function waitForImport({ url, token }: CliSession, versionId: string, step: Step): Promise<void> {
  const deadline = Date.now() + 5 * 60_000;
  for (;;) {
    const { body } = await callApi<Version>(url, `/api/v2/templateversions/${versionId}`, { token, expect: [200] });
    const { status, error = '' } = body.job;
    if (status === 'succeeded') return;
    if (status === 'failed' || status === 'canceled')
      throw new SetupFailure(
        `the import of the example template ${status}: ${error}`,
        `see its log: GET /api/v2/templateversions/${versionId}/logs`,
      );
    if (Date.now() > deadline)
      throw new SetupFailure(
        `the import of the example template is still ${status} after 5 minutes`,
        'see the log of the provisioner worker (npm run up -- --status names it)',
      );
    step.update(`Terraform import ${status}`);
    await delay(250);
  }
}
