import { randomUUID } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { WorkflowStart } from '../../commands/temporal.ts';
import type { TemporalStarter } from '../../commands/temporal.ts';
import { createPasswordHasher } from '../../commands/password-hash.ts';
import { createApp } from '../../api/app.ts';
import type { App, AppDeps } from '../../api/context.ts';
import { loadConfig } from '../../config.ts';
import { connect } from '../../db/client.ts';
import type { Db } from '../../db/client.ts';
import { createColumnCipher } from '../../db/encryption.ts';
import { createListener } from '../../db/notifications.ts';
import { countAgentsByStatus, readAgentNames } from '../../db/queries/agent-gauges.ts';
import { insertKey } from '../../db/queries/api-keys.ts';
import { insertMember } from '../../db/queries/members.ts';
import { getDefaultOrganization } from '../../db/queries/organizations.ts';
import { newApiKey } from '../../db/queries/session-tokens.ts';
import { insertUser } from '../../db/queries/users.ts';
import { createAgentIngest } from '../../ingest/agent-ingest.ts';
import { createAgentMetrics } from '../../telemetry/agent-metrics.ts';
import { createLogger } from '../../telemetry/logger.ts';
import { createMetrics } from '../../telemetry/metrics.ts';
import { type TestDatabase, createTestDatabase } from './services.ts';

/** Remembers what was asked of Temporal; `reachable = false` makes every call fail as if the server were down. */
export interface RecordingTemporal extends TemporalStarter {
  readonly starts: WorkflowStart[];
  readonly canceled: string[];
  reachable: boolean;
  /** Calls are recorded and passed on, when there is a real server. */
  forward: TemporalStarter | undefined;
}

export function createRecordingTemporal(): RecordingTemporal {
  const starts: WorkflowStart[] = [];
  const canceled: string[] = [];
  const temporal: RecordingTemporal = {
    starts,
    canceled,
    reachable: true,
    forward: undefined,
    async start(start) {
      if (!temporal.reachable) throw new Error('Temporal is down');
      if (!starts.some(({ workflowId }) => workflowId === start.workflowId)) starts.push(start);
      await temporal.forward?.start(start);
    },
    async cancel(workflowId) {
      if (!temporal.reachable) throw new Error('Temporal is down');
      canceled.push(workflowId);
      await temporal.forward?.cancel(workflowId);
    },
    isReachable: async () => temporal.reachable,
  };
  return temporal;
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  // Bodies are read by assertions, which say what they expect.
  readonly body: JsonValue;
}
// oxlint-disable-next-line typescript/no-explicit-any -- test bodies are probed freely
export type JsonValue = any;

export interface RequestOptions {
  readonly token?: string;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface TestUser {
  readonly id: string;
  readonly username: string;
  readonly token: string;
}

export interface TestApi {
  readonly app: App;
  readonly deps: AppDeps;
  readonly db: Db;
  readonly temporal: RecordingTemporal;
  readonly organizationId: string;
  /** Site owner and member of the default organization. */
  readonly owner: TestUser;
  readonly ownerToken: string;
  /** Text of every statement that went through `db`. */
  readonly statements: string[];
  /** JSON lines that the API logged. */
  readonly logs: string[];
  readonly clock: { now: Date };
  request(method: string, path: string, options?: RequestOptions): Promise<Answer>;
  createUser(options?: NewTestUser): Promise<TestUser>;
  /** A further key of a user: scopes, allow-list, another lifetime. */
  createKey(userId: string, options?: NewTestKey): Promise<string>;
  close(): Promise<void>;
}

interface NewTestUser {
  readonly username?: string;
  readonly roles?: string[];
  readonly organizationRoles?: string[];
  /** Organizations to join; default: the default one. `[]` = none. */
  readonly organizationIds?: string[];
  readonly status?: 'active' | 'dormant' | 'suspended';
  readonly hashedPassword?: string;
}
interface NewTestKey {
  readonly scopes?: string[];
  readonly allowList?: string[];
  readonly lifetimeSeconds?: number;
  readonly loginType?: 'password' | 'token';
  readonly tokenName?: string;
}

/**
 * The whole API over a database of its own, without a port: requests go through `app.request()`. `clock.now` moves the
 * application's clock. Users made here have no password unless a hash is given, so that no test pays for hashing it does
 * not look at.
 */
export async function createTestApi(
  options: { env?: Readonly<Record<string, string>>; temporal?: RecordingTemporal; database?: TestDatabase } = {},
): Promise<TestApi> {
  const database = options.database ?? (await createTestDatabase());
  const statements: string[] = [];
  const onStatement = (text: string) => void statements.push(text);
  const { db, sql, close } = connect(database.url, { max: 10, applicationName: 'berth-test', onStatement });
  const listener = await createListener(sql);
  const shutdown = new AbortController();
  setMaxListeners(0, shutdown.signal);
  const temporal = options.temporal ?? createRecordingTemporal();
  const logs: string[] = [];
  const clock = { now: new Date() };
  const logger = createLogger({ level: 'info', component: 'api' }, { write: (line: string) => void logs.push(line) });
  const metrics = createMetrics({ version: 'test', defaultMetrics: false });
  const now = () => clock.now;
  const agents = createAgentIngest({ db, listener, logger, metrics, now });
  const config = loadConfig({
    CODER_API_RATE_LIMIT: '-1',
    CODER_PG_CONNECTION_URL: database.url,
    // The agent's bundle is made once for all tests, and not in the working tree.
    BERTH_DATA_DIR: join(tmpdir(), 'berth-test-data'),
    ...options.env,
  });
  const agentMetrics = createAgentMetrics({
    metrics,
    logger,
    collect: config.CODER_PROMETHEUS_COLLECT_AGENT_STATS,
    aggregateBy: config.CODER_PROMETHEUS_AGGREGATE_AGENT_STATS_BY,
    readPlaces: (agentIds) => readAgentNames(db, agentIds),
    readStatuses: () => countAgentsByStatus(db),
    now,
  });
  const deps: AppDeps = {
    db,
    sql,
    config,
    logger,
    metrics,
    temporal,
    passwords: createPasswordHasher(),
    cipher: createColumnCipher([Buffer.alloc(32, 1).toString('base64')]),
    listener,
    agents,
    agentMetrics,
    shutdown: shutdown.signal,
    now,
  };
  const app = createApp(deps);
  const organizationId = (await getDefaultOrganization(db)).id;

  async function createKey(userId: string, key: NewTestKey = {}): Promise<string> {
    const { token, ...stored } = newApiKey();
    const lifetimeSeconds = key.lifetimeSeconds ?? 86_400;
    await insertKey(db, {
      ...stored,
      userId,
      loginType: key.loginType ?? 'password',
      tokenName: key.tokenName ?? '',
      lifetimeSeconds,
      scopes: key.scopes ?? ['coder:all'],
      allowList: key.allowList ?? ['*:*'],
      lastUsed: clock.now,
      createdAt: clock.now,
      updatedAt: clock.now,
      expiresAt: new Date(clock.now.getTime() + lifetimeSeconds * 1000),
    });
    return token;
  }

  async function createUser(user: NewTestUser = {}): Promise<TestUser> {
    const id = randomUUID();
    const username = user.username ?? `user-${id.slice(0, 8)}`;
    await insertUser(db, {
      id,
      username,
      email: `${username}@example.com`,
      status: user.status ?? 'active',
      rbacRoles: user.roles ?? [],
      hashedPassword: user.hashedPassword ?? '',
      createdAt: clock.now,
      updatedAt: clock.now,
    });
    for (const each of user.organizationIds ?? [organizationId])
      await insertMember(db, {
        organizationId: each,
        userId: id,
        roles: user.organizationRoles ?? [],
        now: clock.now,
      });
    return { id, username, token: await createKey(id) };
  }

  const owner = await createUser({ username: 'owner', roles: ['owner'] });
  return {
    app,
    deps,
    db,
    temporal,
    organizationId,
    owner,
    ownerToken: owner.token,
    statements,
    logs,
    clock,
    createUser,
    createKey,
    async request(method, path, { token, body, headers } = {}) {
      const raw = body instanceof Uint8Array || typeof body === 'string';
      const response = await app.request(path, {
        method,
        headers: {
          ...(token !== undefined && { 'Coder-Session-Token': token }),
          ...(body !== undefined && !raw && { 'Content-Type': 'application/json' }),
          ...headers,
        },
        ...(body !== undefined && { body: raw ? body : JSON.stringify(body) }),
      });
      const text = await response.text();
      const isJson = response.headers.get('content-type')?.startsWith('application/json') === true && text !== '';
      return {
        status: response.status,
        headers: response.headers,
        text,
        body: isJson ? (JSON.parse(text) as JsonValue) : undefined,
      };
    },
    async close() {
      shutdown.abort();
      await agents.close();
      // A test may have ended the pool to see what happens.
      await listener.close().catch(() => undefined);
      await close();
      await database.drop();
    },
  };
}
