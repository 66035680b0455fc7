import { fileURLToPath } from 'node:url';
import { packDirectory } from '../scripts/stack/example-template.ts';
import type { ApiClient } from './api-client.ts';
import { demand } from './patience.ts';

const folder = fileURLToPath(new URL('./template', import.meta.url));

interface Version {
  readonly id: string;
  readonly job: { readonly status: string; readonly error?: string };
}

export interface VersionSource {
  readonly tar: Uint8Array;
  /** Values of its variables. */
  readonly variables: Readonly<Record<string, string>>;
  /** The template that gets the version; absent = it is to begin one. */
  readonly templateId?: string;
}

/** Imports a version and waits until it can be used. Answers its id. */
export async function importVersion(api: ApiClient, { tar, variables, templateId }: VersionSource): Promise<string> {
  const { hash } = await api.expect<{ hash: string }>([200, 201], 'POST', '/files', { tar });
  const version = await api.expect<Version>(201, 'POST', '/organizations/default/templateversions', {
    json: {
      storage_method: 'file',
      provisioner: 'terraform',
      file_id: hash,
      user_variable_values: Object.entries(variables).map(([name, value]) => ({ name, value })),
      ...(templateId !== undefined && { template_id: templateId }),
    },
  });
  const { job } = await demand(
    'the import of the template',
    async () => {
      const body = await api.expect<Version>(200, 'GET', `/templateversions/${version.id}`);
      return ['pending', 'running'].includes(body.job.status) ? undefined : body;
    },
    { boundMs: 60_000, everyMs: 100 },
  );
  if (job.status !== 'succeeded') throw new Error(`the import of the template ${job.status}: ${job.error ?? ''}`);
  return version.id;
}

/** A template with this version as its active one. Answers its id. */
export async function createTemplate(api: ApiClient, name: string, versionId: string): Promise<string> {
  const json = { name, template_version_id: versionId };
  return (await api.expect<{ id: string }>(201, 'POST', '/organizations/default/templates', { json })).id;
}

/** Imports the template whose provisioners write to this ledger. Answers its id. */
export async function importTemplate(api: ApiClient, ledgerFile: string): Promise<string> {
  const variables = { ledger: ledgerFile };
  return createTemplate(api, 'world', await importVersion(api, { tar: await packDirectory(folder), variables }));
}
