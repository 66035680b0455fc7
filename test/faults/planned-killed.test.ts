import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { JsonValue, TestApi } from '../support/api.ts';
import { templateFiles } from '../support/builders.ts';
import { allowEveryone } from '../support/quota-rows.ts';
import { testTerraform } from '../support/services.ts';
import { startApiStack } from '../support/stack.ts';
import { waitFor } from '../support/wait.ts';
import { type WorkerHost, createWorkerHost } from '../support/worker-process.ts';
import { build, buildOver, createWorkspace, importVersion } from '../support/workspaces.ts';

let api: TestApi;
let stop: () => Promise<void>;
let host: WorkerHost;
let template: JsonValue;
const directory = mkdtempSync(join(tmpdir(), 'berth-planned-'));
const calls = join(directory, 'calls');
/** Names the command that waits before it begins, while the file is there. */
const gate = join(directory, 'gate');

beforeAll(async () => {
  const started = await startApiStack({ provisioner: false });
  ({ api, stop } = started);
  const wrapper = join(directory, 'terraform');
  writeFileSync(
    wrapper,
    `#!/bin/sh
echo "$1" >> '${calls}'
while [ "$(cat '${gate}' 2>/dev/null)" = "$1" ]; do sleep 0.05; done
exec '${testTerraform().path}' "$@"
`,
  );
  chmodSync(wrapper, 0o755);
  host = createWorkerHost({
    url: api.deps.config.CODER_PG_CONNECTION_URL!,
    namespace: started.stack.namespace,
    encryptionKey: Buffer.alloc(32, 1).toString('base64'),
    env: { BERTH_TERRAFORM_PATH: wrapper },
  });
  const worker = await host.start('provisioner');
  const version = await importVersion(api, templateFiles('costly'));
  expect(version.job.error).toBeUndefined();
  const body = { name: 'costly', template_version_id: version.id };
  template = (await api.request('POST', '/api/v2/organizations/default/templates', { token: api.ownerToken, body }))
    .body;
  await worker.end('SIGTERM');
  // Room for one: who counted itself twice would be refused.
  await allowEveryone(api.db, api.organizationId, 10);
});
afterAll(async () => {
  host.remove();
  await stop();
  rmSync(directory, { recursive: true, force: true });
});

const commands = (): string[] =>
  (existsSync(calls) ? readFileSync(calls, 'utf8').trim().split('\n') : []).filter((each) => each !== 'version');

test.each([
  { when: 'plans', held: 'plan', expected: ['plan', 'plan', 'show', 'apply'] },
  { when: 'has committed its cost and begins to apply', held: 'apply', expected: ['plan', 'show', 'apply'] },
])('a build whose provisioner is killed while it $when is charged once', async ({ held, expected }) => {
  const first = await host.start('provisioner');
  rmSync(calls, { force: true });
  writeFileSync(gate, held);
  const workspace = await createWorkspace(api, { name: `held-${held}`, template_id: template.id });
  await waitFor(`the ${held}`, async () => commands().includes(held));
  await first.end('SIGKILL');
  if (held === 'apply') rmSync(gate);
  const second = await host.start('provisioner');
  rmSync(gate, { force: true });
  const over = await buildOver(api, workspace.latest_build.id);
  expect(over.job.error).toBeUndefined();
  // Nothing had begun in the first case, and nothing was cut off in the second.
  expect(over).toMatchObject({ status: 'running', daily_cost: 10, possible_orphans: [] });
  expect(commands()).toEqual(expected);
  const path = '/api/v2/organizations/default/members/me/workspace-quota';
  expect((await api.request('GET', path, { token: api.ownerToken })).body).toEqual({
    credits_consumed: 10,
    budget: 10,
  });
  expect((await build(api, workspace.id, { transition: 'delete' })).status).toBe('deleted');
  await second.end('SIGTERM');
});
