import { mkdtempSync, chmodSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { migrate } from '../../db/migrate.ts';
import { type RunningPostgres, startPostgres } from '../../toolchain/postgres.ts';
import { terminalProgress } from '../../toolchain/progress.ts';
import type { JsonValue, TestApi } from '../support/api.ts';
import { templateFiles } from '../support/builders.ts';
import { startApiStack } from '../support/stack.ts';
import { waitFor } from '../support/wait.ts';
import { build, buildOver, createWorkspace, importVersion } from '../support/workspaces.ts';

const directory = mkdtempSync(join(tmpdir(), 'berth-restart-'));
chmodSync(directory, 0o711);
const ledger = join(directory, 'ledger');
// Durable: what is committed must still be there after a crash of the server.
const start = () => startPostgres({ dir: join(directory, 'postgres'), progress: terminalProgress(true) });
let server: RunningPostgres;
let api: TestApi;
let stop: () => Promise<void>;

beforeAll(async () => {
  server = await start();
  await migrate(server.url);
  ({ api, stop } = await startApiStack({ database: { url: server.url, drop: async () => undefined } }));
});
afterAll(async () => {
  await stop();
  await server.stop();
  rmSync(directory, { recursive: true, force: true });
});

test('builds end with their state stored although PostgreSQL dies and returns meanwhile', async () => {
  const variables = [
    { name: 'ledger', value: ledger },
    { name: 'seconds', value: '4' },
  ];
  const version = await importVersion(api, templateFiles('slow'), { variables });
  expect(version.job.error).toBeUndefined();
  const template = await api.request('POST', '/api/v2/organizations/default/templates', {
    token: api.ownerToken,
    body: { name: 'slow', template_version_id: version.id },
  });
  const workspaces: JsonValue[] = [];
  for (const name of ['one', 'two'])
    workspaces.push(await createWorkspace(api, { name, template_id: template.body.id }));
  await waitFor('both applies', async () => {
    const text = await waitFor('the ledger', async () => {
      try {
        return readFileSync(ledger, 'utf8');
      } catch {
        return undefined;
      }
    });
    return text.includes('create one first') && text.includes('create two first');
  });
  // Killed, not stopped: sessions break, nothing is said to anybody.
  process.kill(server.identity.pid, 'SIGKILL');
  await server.exited;
  server = await start();

  for (const workspace of workspaces) {
    const over = await buildOver(api, workspace.latest_build.id);
    expect(over.job.error).toBeUndefined();
    expect(over.status).toBe('running');
    const deleted = await build(api, workspace.id, { transition: 'delete' });
    expect(deleted.status).toBe('deleted');
  }
  const effects = readFileSync(ledger, 'utf8')
    .trim()
    .split('\n')
    .map((line) => line.split(' ').slice(0, 3).join(' '))
    .toSorted();
  const once = ['one', 'two'].flatMap((name) => [
    `create ${name} first`,
    `create ${name} last`,
    `create ${name} slow`,
    `destroy ${name} first`,
    `destroy ${name} slow`,
  ]);
  expect(effects).toEqual(once.toSorted());
});
