import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { ManifestApp, ManifestMetadata } from '../../agent/protocol.ts';
import { waitFor } from '../support/wait.ts';
import { fakeServer, startAgent } from './support/builders.ts';
import type { FakeServer } from './support/fake-server.ts';

const item = (key: string, script: string, more: Partial<ManifestMetadata> = {}): ManifestMetadata => ({
  display_name: key,
  key,
  script,
  interval: 1,
  timeout: 2,
  ...more,
});
interface Value {
  readonly key: string;
  readonly value: string;
  readonly error: string;
  readonly age: number;
}
const values = (server: FakeServer, key: string): Value[] =>
  server.to('/metadata').flatMap(({ body }) => (body.metadata as Value[]).filter((each) => each.key === key));

describe('the start', () => {
  test('is reported with version, directory and subsystems', async () => {
    const { server, home } = await startAgent(
      { directory: '~/code' },
      { env: { CODER_AGENT_SUBSYSTEM: 'exectrace,envbox,other,envbox' } },
    );
    await waitFor('the report', async () => server.to('/startup').length === 1);
    expect(server.to('/startup')[0]?.body).toEqual({
      version: 'v1.2.3',
      expanded_directory: `${home}/code`,
      subsystems: ['envbox', 'exectrace'],
    });
  });
});

describe('metadata', () => {
  test('is trimmed; a failure has its reason and what was printed', async () => {
    const { server } = await startAgent({
      metadata: [
        item('ok', 'echo "  42  "'),
        item('bad', 'echo oops; exit 3'),
        item('slow', 'echo begun; sleep 30', { timeout: 1, interval: 0 }),
        item('long', 'head -c 20000 /dev/zero | tr "\\0" x'),
      ],
    });
    await waitFor('all values', async () =>
      ['ok', 'bad', 'slow', 'long'].every((key) => values(server, key).length > 0),
    );
    expect(values(server, 'ok')[0]).toMatchObject({ value: '42', error: '', age: 0 });
    expect(values(server, 'bad')[0]).toMatchObject({ value: 'oops', error: 'exit status 3' });
    expect(values(server, 'slow')[0]).toMatchObject({ value: 'begun', error: 'timed out after 1 s' });
    expect(values(server, 'long')[0]?.value).toHaveLength(10_240);
    expect(values(server, 'long')[0]?.error).toContain('20000 bytes');
    await waitFor('the next round', async () => values(server, 'ok').length > 1);
    expect(values(server, 'slow')).toHaveLength(1);
  });

  test('while a report is under way, or was not taken, only the newest value is kept', async () => {
    const server = await fakeServer({ metadata: [item('n', 'echo x >>$HOME/n; wc -l <$HOME/n')] });
    server.handler = ({ path }) => (path === '/metadata' ? { status: 503 } : undefined);
    await startAgent({}, { server });
    await waitFor('three values', async () => values(server, 'n').some(({ value }) => value === '3'));
    server.requests.length = 0;
    server.handler = () => undefined;
    await waitFor('a report that is taken', async () => values(server, 'n').length > 0);
    expect(server.to('/metadata')[0]?.body.metadata).toHaveLength(1);
    expect(Number(values(server, 'n')[0]?.value)).toBeGreaterThanOrEqual(3);
  });

  test('respects Retry-After', async () => {
    const server = await fakeServer({ metadata: [item('k', 'echo 1')] });
    server.handler = ({ path }) =>
      path === '/metadata' ? { status: 429, headers: { 'Retry-After': '600' } } : undefined;
    await startAgent({}, { server });
    await waitFor('the first report', async () => server.to('/metadata').length === 1);
    const began = Date.now();
    await waitFor('another tick', async () => Date.now() - began > 500);
    expect(server.to('/metadata')).toHaveLength(1);
  });
});

describe('stats', () => {
  test('go at the interval of the manifest, then of the last answer', async () => {
    const server = await fakeServer({ stats_interval_seconds: 0.05 });
    server.handler = ({ path }) =>
      path === '/report-stats' ? { status: 200, body: { report_interval: 3600e9 } } : undefined;
    await startAgent({}, { server });
    await waitFor('the first', async () => server.to('/report-stats').length === 1);
    expect(server.to('/report-stats')[0]?.body).toMatchObject({ connection_count: 0, rx_bytes: 0, session_counts: {} });
    const began = Date.now();
    await waitFor('some time', async () => Date.now() - began > 300);
    expect(server.to('/report-stats')).toHaveLength(1);
  });
});

describe('health of apps', () => {
  const app = (url: string): ManifestApp => ({
    id: 'a1',
    slug: 'web',
    external: false,
    health: 'initializing',
    healthcheck: { url, interval: 0.05, threshold: 3 },
  });
  test('reports changes only: healthy, after three failures unhealthy, after one success healthy', async () => {
    let status = 404;
    let asked = 0;
    const web = createServer((_request, response) => {
      asked += 1;
      response.writeHead(status).end();
    }).listen(0, '127.0.0.1');
    onTestFinished(() => void web.close());
    await waitFor('the app', async () => web.listening);
    const { server } = await startAgent({ apps: [app(`http://127.0.0.1:${(web.address() as AddressInfo).port}/`)] });
    const reports = () => server.to('/app-health').map(({ body }) => body.Healths as unknown);
    await waitFor('healthy', async () => reports().length === 1);
    const before = asked;
    await waitFor('more questions', async () => asked > before + 3);
    status = 500;
    await waitFor('unhealthy', async () => reports().length === 2);
    status = 200;
    await waitFor('healthy again', async () => reports().length === 3);
    expect(reports()).toEqual([{ a1: 'healthy' }, { a1: 'unhealthy' }, { a1: 'healthy' }]);
  });
});

describe('resources', () => {
  test('are sent as a ring of the newest points', async () => {
    const { server } = await startAgent({
      resources_monitoring: {
        config: { num_datapoints: 3, collection_interval_seconds: 0.03 },
        memory: { enabled: true },
        volumes: [
          { enabled: true, path: '/' },
          { enabled: true, path: '/no/such/path' },
          { enabled: false, path: '/tmp' },
        ],
      },
    });
    await waitFor('five reports', async () => server.to('/resources-monitoring').length >= 5);
    const points = server.to('/resources-monitoring').at(-1)?.body.datapoints;
    expect(points).toHaveLength(3);
    expect(points[0].memory.used).toBeLessThanOrEqual(points[0].memory.total);
    expect(points[0].volumes).toEqual([
      { volume: '/', used: expect.any(Number), total: expect.any(Number) },
      { volume: '/no/such/path', used: 0, total: 0 },
    ]);
    expect(points[0].volumes[0].total).toBeGreaterThan(0);
  });
  test('are not read when nothing is monitored', async () => {
    const { server } = await startAgent();
    await server.waitForState('ready');
    expect(server.to('/resources-monitoring')).toEqual([]);
  });
});

test('no secret, no token in diagnostics or in anything but where it belongs', async () => {
  const secret = {
    env_name: 'CANARY',
    file_path: '/proc/none/x',
    value_base64: Buffer.from('canary-value').toString('base64'),
  };
  const { agent, server, diagnostics } = await startAgent({ secrets: [secret, { ...secret, env_name: 'CODER_X' }] });
  await server.waitForState('ready');
  await waitFor('the notes', async () => server.lines().some(({ level }) => level === 'error'));
  await agent.shutdown();
  const sent = server.requests.map(({ raw }) => raw).join();
  for (const text of [sent, diagnostics.join()]) {
    expect(text).not.toContain('canary-value');
    expect(text).not.toContain(secret.value_base64);
    expect(text).not.toContain('b7c2a3de');
  }
});
