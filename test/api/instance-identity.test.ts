import { createSign, generateKeyPairSync, randomUUID } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type Server, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { insertAgentOf, insertRunningAgent } from '../support/agent-fixtures.ts';
import { type TestApi, createTestApi } from '../support/api.ts';
import { createTemplate, insertBuildOf } from '../support/template-rows.ts';

/** Documents signed once by certificates made for this test; look-ups use Google's form, whose keys are made here. */
const { aws: awsMachine, azure: azureMachine } = JSON.parse(
  readFileSync(new URL('../support/cloud-identities.json', import.meta.url), 'utf8'),
) as {
  readonly aws: Readonly<Record<'instanceId' | 'certificate' | 'document' | 'signature', string>>;
  readonly azure: {
    readonly vmId: string;
    readonly authority: string;
    readonly signed: Readonly<
      Record<
        'direct' | 'throughIntermediate' | 'withoutAttributes' | 'byOtherName' | 'bySelfSigned' | 'expired',
        string
      >
    >;
  };
};
const awsProof = { document: awsMachine.document, signature: awsMachine.signature };

const google = generateKeyPairSync('rsa', { modulusLength: 2048 });
const stranger = generateKeyPairSync('rsa', { modulusLength: 2048 });
let keysServer: Server;
let keysAsked = 0;
let folder: string;
let api: TestApi;
let template: Awaited<ReturnType<typeof createTemplate>>;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'berth-identity-'));
  writeFileSync(join(folder, 'aws.pem'), awsMachine.certificate);
  writeFileSync(join(folder, 'azure.pem'), azureMachine.authority);
  keysServer = createServer((_request, response) => {
    keysAsked += 1;
    const key = { ...google.publicKey.export({ format: 'jwk' }), kid: 'one', alg: 'RS256', use: 'sig' };
    response.setHeader('Cache-Control', 'public, max-age=600');
    response.end(JSON.stringify({ keys: [key] }));
  }).listen(0, '127.0.0.1');
  await once(keysServer, 'listening');
  api = await createTestApi({
    env: {
      BERTH_AWS_IDENTITY_CERTIFICATES: join(folder, 'aws.pem'),
      BERTH_AZURE_IDENTITY_CERTIFICATES: join(folder, 'azure.pem'),
      BERTH_GOOGLE_IDENTITY_KEYS_URL: `http://127.0.0.1:${(keysServer.address() as AddressInfo).port}/certs`,
    },
  });
  template = await createTemplate(api);
});
afterAll(async () => {
  await api.close();
  keysServer.close();
  rmSync(folder, { recursive: true });
});

const exchange = (cloud: 'aws' | 'azure' | 'google', body: Record<string, unknown>, at: TestApi = api) =>
  at.request('POST', `/api/v2/workspaceagents/${cloud}-instance-identity`, { body });
function jwt(claims: Record<string, unknown>, options: { key?: KeyObject; header?: Record<string, unknown> } = {}) {
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const signed = `${part({ alg: 'RS256', kid: 'one', typ: 'JWT', ...options.header })}.${part(claims)}`;
  const key = options.key ?? google.privateKey;
  return `${signed}.${createSign('RSA-SHA256').update(signed).sign(key, 'base64url')}`;
}
const googleClaims = (instanceId: string, change: Record<string, unknown> = {}) => ({
  iss: 'https://accounts.google.com',
  aud: 'coder',
  exp: api.clock.now.getTime() / 1_000 + 3_600,
  google: { compute_engine: { instance_id: instanceId } },
  ...change,
});

/** Exchanges the identity of a machine, named or not. */
const identify = (instanceId: string, agentName?: string) =>
  exchange('google', {
    json_web_token: jwt(googleClaims(instanceId)),
    ...(agentName !== undefined && { agent_name: agentName }),
  });

const machine = () => `i-${randomUUID()}`;
const build = (workspaceId: string, transition: 'start' | 'stop' | 'delete') =>
  insertBuildOf(api.db, { workspaceId, versionId: template.active_version_id, transition, runMs: 1 });
/** The latest build's job goes back to where it was before its end. */
const reopen = (workspaceId: string) =>
  api.db.execute(sql`update provisioner_jobs set completed_at = null where id =
    (select job_id from workspace_builds where workspace_id = ${workspaceId} and is_latest)`);

describe('A machine that proves who it is', () => {
  test('gets the token of its agent, of AWS, Google and Azure', async () => {
    const onAws = await insertRunningAgent(api, template, { instanceId: awsMachine.instanceId });
    const { status: awsStatus, body: awsBody } = await exchange('aws', awsProof);
    expect([awsStatus, awsBody]).toEqual([200, { session_token: onAws.token }]);

    const instanceId = machine();
    const agent = await insertRunningAgent(api, template, { instanceId });
    const answers = [
      await identify(instanceId),
      await exchange('google', { json_web_token: jwt(googleClaims(instanceId, { iss: 'accounts.google.com' })) }),
    ];
    for (const { status, body } of answers) expect([status, body]).toEqual([200, { session_token: agent.token }]);

    const azure = await insertRunningAgent(api, template, { instanceId: azureMachine.vmId });
    for (const signature of ['direct', 'throughIntermediate', 'withoutAttributes'] as const) {
      const { status, body } = await exchange('azure', {
        signature: azureMachine.signed[signature],
        encoding: 'pkcs7',
      });
      expect([signature, status, body]).toEqual([signature, 200, { session_token: azure.token }]);
    }
    const me = await api.request('GET', '/api/v2/workspaceagents/me/resources-monitoring', {
      token: answers[0]!.body.session_token,
    });
    expect(me.status).toBe(200);
  });

  test('is asked for its keys once, and not for every made-up one', async () => {
    const instanceId = machine();
    await insertRunningAgent(api, template, { instanceId });
    await exchange('google', { json_web_token: jwt(googleClaims(instanceId)) });
    const asked = keysAsked;
    for (const kid of ['one', 'two', 'three'])
      await exchange('google', { json_web_token: jwt(googleClaims(instanceId), { header: { kid } }) });
    expect(keysAsked).toBe(asked);
    api.clock.now = new Date(api.clock.now.getTime() + 601_000);
    expect((await exchange('google', { json_web_token: jwt(googleClaims(instanceId)) })).status).toBe(200);
    expect(keysAsked).toBe(asked + 1);
  });

  test('is refused when anything about the proof is wrong, and told no reason', async () => {
    const instanceId = machine();
    await insertRunningAgent(api, template, { instanceId });
    const proof = awsProof;
    const good = jwt(googleClaims(instanceId));
    const [header, , signature] = good.split('.');
    const none = Buffer.from('{"alg":"none","kid":"one"}').toString('base64url');
    const other = Buffer.from(JSON.stringify(googleClaims('other'))).toString('base64url');
    const azure = azureMachine.signed;
    const flipped = Buffer.from(azure.direct, 'base64');
    const at = flipped.indexOf(azureMachine.vmId);
    flipped[at] = flipped[at]! ^ 1;
    const soon = api.clock.now.getTime() / 1_000;
    const cases: ['aws' | 'azure' | 'google', Record<string, unknown>][] = [
      ['aws', { ...proof, document: proof.document.replace('eu-central-1', 'eu-central-2') }],
      ['aws', { ...proof, signature: 'AAAA' }],
      [
        'aws',
        {
          ...proof,
          signature: createSign('RSA-SHA256').update(proof.document).sign(stranger.privateKey, 'base64'),
        },
      ],
      ['google', { json_web_token: `${header}.${other}.${signature}` }],
      ['google', { json_web_token: `${none}.${good.split('.')[1]}.` }],
      ['google', { json_web_token: jwt(googleClaims(instanceId), { header: { alg: 'HS256' } }) }],
      ['google', { json_web_token: jwt(googleClaims(instanceId), { key: stranger.privateKey }) }],
      ['google', { json_web_token: jwt(googleClaims(instanceId, { iss: 'https://example.com' })) }],
      ['google', { json_web_token: jwt(googleClaims(instanceId, { aud: 'another service' })) }],
      ['google', { json_web_token: jwt(googleClaims(instanceId, { exp: soon - 61 })) }],
      ['google', { json_web_token: jwt(googleClaims(instanceId, { google: {} })) }],
      ['google', { json_web_token: 'nonsense' }],
      ['azure', { signature: azure.byOtherName }],
      ['azure', { signature: azure.bySelfSigned }],
      ['azure', { signature: azure.expired }],
      ['azure', { signature: flipped.toString('base64') }],
      ['azure', { signature: azure.direct.slice(0, 800) }],
      ['azure', { signature: 'nonsense' }],
    ];
    for (const [cloud, body] of cases) {
      const answer = await exchange(cloud, body);
      expect([cloud, body, answer.status, answer.body]).toEqual([
        cloud,
        body,
        401,
        { message: 'The instance identity is not valid' },
      ]);
    }
    expect((await exchange('aws', { document: 'x' })).status).toBe(400);
  });

  test('of a cloud without certificates is refused, and the log says why', async () => {
    const bare = await createTestApi({ env: { CODER_API_RATE_LIMIT: '512' } });
    try {
      expect((await exchange('aws', awsProof, bare)).status).toBe(401);
      const azure = await exchange('azure', { signature: azureMachine.signed.direct }, bare);
      expect(azure.status).toBe(401);
      expect(bare.logs.join('')).toContain('BERTH_AWS_IDENTITY_CERTIFICATES is not set');
      expect(bare.logs.join('')).toContain('BERTH_AZURE_IDENTITY_CERTIFICATES is not set');
      // 30 a minute from one address.
      for (let n = 1; n < 30; n += 1) expect((await exchange('aws', awsProof, bare)).status).toBe(401);
      expect((await exchange('aws', awsProof, bare)).status).toBe(429);
    } finally {
      await bare.close();
    }
  });
});

describe('Among the agents of a machine', () => {
  test('its parent is meant, never a sub-agent', async () => {
    const instanceId = machine();
    const parent = await insertRunningAgent(api, template, { instanceId });
    const { workspaceId, resourceId } = parent;
    // Sub-agents have no instance id; even if one had, it would not count.
    await insertAgentOf(api, { workspaceId, resourceId, parentId: parent.id, name: 'dev' });
    await insertAgentOf(api, { workspaceId, resourceId, parentId: parent.id, name: 'odd', instanceId });
    expect((await identify(instanceId)).body).toEqual({ session_token: parent.token });
    expect((await identify(instanceId, 'odd')).status).toBe(404);
  });

  test('the one of the latest build is meant, however many builds had the machine', async () => {
    const instanceId = machine();
    const { workspaceId } = await insertRunningAgent(api, template, { instanceId });
    let token = '';
    for (let n = 0; n < 4; n += 1) {
      await build(workspaceId, 'start');
      ({ token } = await insertAgentOf(api, { workspaceId, instanceId }));
    }
    expect([(await identify(instanceId)).status, (await identify(instanceId)).body.session_token]).toEqual([
      200,
      token,
    ]);
  });

  test('one of several must be named', async () => {
    const instanceId = machine();
    const first = await insertRunningAgent(api, template, { instanceId, name: 'first' });
    const second = await insertAgentOf(api, { workspaceId: first.workspaceId, instanceId, name: 'second' });
    const answer = await identify(instanceId);
    expect(answer.status).toBe(409);
    expect(answer.body.message).toContain('first, second');
    expect((await identify(instanceId, 'second')).body).toEqual({ session_token: second.token });
    expect((await identify(instanceId, 'third')).status).toBe(404);
  });

  test('none is left when there never was one, it is deleted, or its workspace is', async () => {
    expect((await identify(machine())).status).toBe(404);
    const instanceId = machine();
    const agent = await insertRunningAgent(api, template, { instanceId });
    await api.db.execute(sql`update workspaces set deleted = true where id = ${agent.workspaceId}`);
    expect((await identify(instanceId)).status).toBe(404);
    const other = machine();
    const gone = await insertRunningAgent(api, template, { instanceId: other });
    await api.db.execute(sql`update workspace_agents set deleted = true where id = ${gone.id}`);
    expect((await identify(other)).status).toBe(404);
  });

  test('one of an earlier build is refused, but not while its machine is being stopped', async () => {
    const instanceId = machine();
    const { workspaceId, token } = await insertRunningAgent(api, template, { instanceId });
    await build(workspaceId, 'stop');
    expect((await identify(instanceId)).status).toBe(400);
    await reopen(workspaceId);
    expect((await identify(instanceId)).body).toEqual({ session_token: token });
    await build(workspaceId, 'start');
    expect((await identify(instanceId)).status).toBe(400);
  });

  test('an agent of an import or a failed build does not count', async () => {
    const instanceId = machine();
    const { workspaceId } = await insertRunningAgent(api, template, { instanceId });
    await api.db.execute(sql`update provisioner_jobs set error = 'broken' where id =
      (select job_id from workspace_builds where workspace_id = ${workspaceId})`);
    expect((await identify(instanceId)).status).toBe(400);
    const imported = machine();
    const agent = await insertRunningAgent(api, template, { instanceId: imported });
    await api.db.execute(sql`update workspace_resources set job_id =
      (select job_id from template_versions where id = ${template.active_version_id}) where id = ${agent.resourceId}`);
    expect((await identify(imported)).status).toBe(404);
  });
});
