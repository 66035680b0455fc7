import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createTestApi } from '../support/api.ts';
import type { TestApi, TestUser } from '../support/api.ts';

const base = '/api/v2';
let api: TestApi;
let member: TestUser;
beforeAll(async () => {
  api = await createTestApi();
  member = await api.createUser({ username: 'member' });
});
afterAll(() => api.close());
const get = (path: string, token?: string) => api.request('GET', path, token === undefined ? {} : { token });

describe('what anybody may ask', () => {
  test('build information, with one id for the deployment', async () => {
    const first = await get(`${base}/buildinfo`);
    expect(first.body).toMatchObject({ version: 'v0.1.0', telemetry: false, workspace_proxy: false });
    expect((await get(`${base}/buildinfo`)).body.deployment_id).toBe(first.body.deployment_id);
  });
  test('a greeting, sign-in methods and updates', async () => {
    expect((await get(`${base}/`)).body.message).toContain('Berth');
    expect((await get(`${base}/users/authmethods`)).body.password).toEqual({ enabled: true });
    expect((await get(`${base}/updatecheck`)).body.current).toBe(true);
  });
  test('the document, equal to the checked-in one, and a page that loads nothing from elsewhere', async () => {
    const document = await get(`${base}/openapi.json`);
    expect(document.body.openapi).toBe('3.1.0');
    expect((await get('/swagger/doc.json')).text).toBe(document.text);
    const stored = JSON.parse(readFileSync(new URL('../../docs/openapi.json', import.meta.url), 'utf8')) as unknown;
    expect(document.body).toEqual(stored);
    for (const path of ['/docs', '/swagger']) {
      const page = await get(path);
      expect(page.headers.get('content-security-policy')).toContain("script-src 'self'");
      expect(page.text.match(/https?:\/\//g)).toBeNull();
    }
    const viewer = await get('/docs/viewer.js');
    expect([viewer.status, viewer.headers.get('content-encoding')]).toEqual([200, 'gzip']);
    expect((await get('/docs/start.js')).text).toContain('"telemetry":false');
  });
});

describe('readiness', () => {
  test('does not depend on Temporal, but says so', async () => {
    api.temporal.reachable = false;
    const ready = await get('/readyz');
    api.temporal.reachable = true;
    expect(ready.status).toBe(200);
    expect(ready.body.status).toBe('ok');
    expect(ready.body.checks).toContainEqual(expect.objectContaining({ name: 'temporal', ok: false, gating: false }));
    expect(ready.body.checks).toContainEqual(expect.objectContaining({ name: 'db', ok: true, gating: true }));
  });
});

describe('a database without our tables', () => {
  test('is not ready', async () => {
    const empty = await createTestApi();
    await empty.db.execute('drop schema drizzle cascade');
    const ready = await empty.request('GET', '/readyz');
    expect([ready.status, ready.body.status]).toEqual([503, 'unavailable']);
    await empty.close();
  });
});

describe('what is for administrators', () => {
  test('the health report names what is wrong, one run for many callers, members 403', async () => {
    const [report, same] = await Promise.all([1, 2].map(() => get(`${base}/debug/health?force=true`, api.ownerToken)));
    expect(report?.text).toBe(same?.text);
    expect(report?.body).toMatchObject({
      healthy: false,
      severity: 'error',
      database: { healthy: true },
      temporal: { healthy: true },
      provisioner_daemons: { healthy: false, error: expect.stringContaining('EPD01') },
    });
    expect((await get(`${base}/debug/health`, api.ownerToken)).text).toBe(report?.text);
    expect((await get(`${base}/debug/health`, member.token)).status).toBe(403);
    expect((await get(`${base}/debug/health?force=maybe`, api.ownerToken)).status).toBe(400);
  });
  test('deployment counts, for auditors too', async () => {
    const auditor = await api.createUser({ roles: ['auditor'] });
    const stats = await get(`${base}/deployment/stats`, auditor.token);
    expect(stats.body.workspaces).toMatchObject({ pending: 0, running: 0, connection_latency_ms: { P50: 0, P95: 0 } });
    expect((await get(`${base}/deployment/stats`, member.token)).status).toBe(403);
  });
});

describe('what any user may ask', () => {
  test('features are all there, licenses and experiments are none', async () => {
    const { body } = await get(`${base}/entitlements`, member.token);
    expect(body).toMatchObject({ has_license: false, require_telemetry: false, errors: [], warnings: [] });
    expect(body.features.workspace_prebuilds).toEqual({ entitlement: 'entitled', enabled: true });
    expect((await get(`${base}/licenses`, member.token)).body).toEqual([]);
    expect((await get(`${base}/experiments`, member.token)).body).toEqual([]);
    expect((await get(`${base}/experiments/available`, member.token)).body).toEqual({ safe: [] });
  });

  test('authcheck answers each named question', async () => {
    const ask = (token: string, checks: object) =>
      api.request('POST', `${base}/authcheck`, { token, body: { checks } });
    const object = (resource_type: string, more: object = {}) => ({ resource_type, ...more });
    const questions = {
      ownUser: { object: object('user', { resource_id: member.id }), action: 'read' },
      otherUser: { object: object('user', { resource_id: api.owner.id }), action: 'read' },
      missing: { object: object('user', { resource_id: '11111111-1111-4111-8111-111111111111' }), action: 'read' },
      createAnywhere: { object: object('workspace', { owner_id: 'me', any_org: true }), action: 'create' },
      createHere: {
        object: object('workspace', { owner_id: 'me', organization_id: api.organizationId }),
        action: 'create',
      },
      createUsers: { object: object('user'), action: 'create' },
      readAudit: { object: object('audit_log'), action: 'read' },
    };
    expect((await ask(member.token, questions)).body).toEqual({
      ownUser: true,
      otherUser: false,
      missing: false,
      createAnywhere: true,
      createHere: true,
      createUsers: false,
      readAudit: false,
    });
    expect((await ask(api.ownerToken, questions)).body).toMatchObject({
      otherUser: true,
      missing: false,
      readAudit: true,
    });
    const bad = await ask(member.token, { x: { object: object('spaceship'), action: 'read' } });
    expect([bad.status, bad.body.validations[0].field]).toEqual([400, 'checks.x.object.resource_type']);
    expect((await ask(member.token, { x: { object: object('template'), action: 'ssh' } })).status).toBe(400);
  });
});

describe('metrics', () => {
  test('count requests by route pattern, never by what stands in the path', async () => {
    await get(`${base}/users/${member.id}`, api.ownerToken);
    await get('/nowhere/at/all');
    api.deps.metrics.buildEnqueued({
      provisionerType: 'terraform',
      buildReason: 'autostart',
      transition: 'start',
      status: 'success',
    });
    api.deps.metrics.jobTaken(
      { provisionerType: 'terraform', jobType: 'workspace_build', transition: 'start', buildReason: 'autostart' },
      -0.002,
    );
    const text = await api.deps.metrics.registry.metrics();
    expect(text).toContain('path="/api/v2/users/:user"');
    expect(text).toContain('path="unmatched"');
    expect(text).not.toContain(member.id);
    expect(text).toContain(
      'coderd_workspace_builds_enqueued_total{provisioner_type="terraform",build_reason="autostart",transition="start",status="success"} 1',
    );
    expect(text).toContain(
      'coderd_provisioner_job_queue_wait_seconds_sum{provisioner_type="terraform",job_type="workspace_build",transition="start",build_reason="autostart"} 0.001',
    );
  });
});
