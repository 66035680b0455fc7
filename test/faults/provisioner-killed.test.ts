import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { JsonValue, TestApi } from '../support/api.ts';
import { templateFiles } from '../support/builders.ts';
import { startApiStack } from '../support/stack.ts';
import { waitFor } from '../support/wait.ts';
import { type WorkerHost, createWorkerHost } from '../support/worker-process.ts';
import { build, buildOver, createWorkspace, importVersion } from '../support/workspaces.ts';

let api: TestApi;
let stop: () => Promise<void>;
let host: WorkerHost;
let template: JsonValue;
const directory = mkdtempSync(join(tmpdir(), 'berth-ledger-'));
const ledger = join(directory, 'ledger');

/** What really happened to the workspace's resources, in order. */
const effects = (name: string): string[] =>
  (existsSync(ledger) ? readFileSync(ledger, 'utf8') : '')
    .split('\n')
    .filter((line) => line.split(' ')[1] === name)
    .map((line) => line.split(' ').slice(0, 3).join(' '));

/** Resources that exist in the world: created and not destroyed since. */
function existing(name: string): string[] {
  const counts = new Map<string, number>();
  for (const effect of effects(name)) {
    const [verb, , resource = ''] = effect.split(' ');
    counts.set(resource, (counts.get(resource) ?? 0) + (verb === 'create' ? 1 : -1));
  }
  return [...counts].flatMap(([resource, count]) => Array.from({ length: count }, () => resource)).toSorted();
}

beforeAll(async () => {
  const started = await startApiStack({ provisioner: false });
  ({ api, stop } = started);
  host = createWorkerHost({
    url: api.deps.config.CODER_PG_CONNECTION_URL!,
    namespace: started.stack.namespace,
    encryptionKey: Buffer.alloc(32, 1).toString('base64'),
  });
  const worker = await host.start('provisioner');
  const version = await importVersion(api, templateFiles('slow'), { variables: [{ name: 'ledger', value: ledger }] });
  expect(version.job.error).toBeUndefined();
  const created = await api.request('POST', '/api/v2/organizations/default/templates', {
    token: api.ownerToken,
    body: { name: 'slow', template_version_id: version.id },
  });
  template = created.body;
  await worker.end('SIGTERM');
});
afterAll(async () => {
  host.remove();
  await stop();
  rmSync(directory, { recursive: true, force: true });
});

test.each([
  { how: 'is killed', signal: 'SIGKILL', name: 'killed' },
  { how: 'is told to stop', signal: 'SIGTERM', name: 'drained' },
] as const)('a build goes on after its provisioner $how in the middle of an apply', async ({ signal, name }) => {
  const first = await host.start('provisioner');
  const workspace = await createWorkspace(api, { name, template_id: template.id });
  await waitFor('the first resource', async () => effects(name).includes(`create ${name} first`));
  await first.end(signal);
  const second = await host.start('provisioner');
  const over = await buildOver(api, workspace.latest_build.id);
  expect(over.job.error).toBeUndefined();
  expect(over.status).toBe('running');
  // Stored state and world agree: what was made before the fault was neither lost nor made again.
  expect(effects(name).filter((effect) => effect === `create ${name} first`)).toHaveLength(1);
  expect(new Set(existing(name))).toEqual(new Set(['first', 'last', 'slow']));

  const deleted = await build(api, workspace.id, { transition: 'delete' });
  expect(deleted.status).toBe('deleted');
  expect(effects(name)).toContain(`destroy ${name} first`);
  await second.end('SIGTERM');
});

test('a build that is requested while no provisioner is there waits and then runs once', async () => {
  const name = 'waiting';
  const workspace = await createWorkspace(api, { name, template_id: template.id });
  const pending = await api.request('GET', `/api/v2/workspacebuilds/${workspace.latest_build.id}`, {
    token: api.ownerToken,
  });
  expect(pending.body.status).toBe('pending');
  const worker = await host.start('provisioner');
  const over = await buildOver(api, workspace.latest_build.id);
  expect(over.status).toBe('running');
  expect(effects(name)).toEqual([`create ${name} first`, `create ${name} slow`, `create ${name} last`]);
  await worker.end('SIGTERM');
});
