import { fileURLToPath } from 'node:url';
import { packDirectory } from '../scripts/stack/example-template.ts';
import type { ApiClient } from './api-client.ts';
import { demand } from './patience.ts';

const folder = fileURLToPath(new URL('./template', import.meta.url));

interface Version {
  readonly id: string;
  readonly job: { readonly status: string; readonly error?: string };
}

/** Imports the template whose provisioners write to this ledger. Answers its id. */
export async function importTemplate(api: ApiClient, ledgerFile: string): Promise<string> {
  const { hash } = await api.expect<{ hash: string }>(201, 'POST', '/files', { tar: await packDirectory(folder) });
  const version = await api.expect<Version>(201, 'POST', '/organizations/default/templateversions', {
    json: {
      storage_method: 'file',
      provisioner: 'terraform',
      file_id: hash,
      user_variable_values: [{ name: 'ledger', value: ledgerFile }],
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
  const { id } = await api.expect<{ id: string }>(201, 'POST', '/organizations/default/templates', {
    json: { name: 'world', template_version_id: version.id },
  });
  return id;
}
