import type { HttpBindings } from '@hono/node-server';
import type { OpenAPIHono } from '@hono/zod-openapi';
import type { Context } from 'hono';
import type { TemporalStarter } from '../commands/temporal.ts';
import type { Caller } from '../commands/caller.ts';
import type { PasswordHasher } from '../commands/password-hash.ts';
import type { Config } from '../config.ts';
import type { Db, Sql } from '../db/client.ts';
import type { ColumnCipher } from '../db/encryption.ts';
import type { Listener } from '../db/notifications.ts';
import type { AuditOrigin } from '../db/queries/audit-logs.ts';
import type { Session } from '../commands/authenticate.ts';
import type { AgentIdentity } from '../db/queries/agent-tokens.ts';
import type { Subject } from '../domain/subject.ts';
import type { AgentIngest } from '../ingest/agent-ingest.ts';
import type { AgentMetrics } from '../telemetry/agent-metrics.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { Metrics } from '../telemetry/metrics.ts';

/** What the API needs of the world; wired in api/server.ts and in test/support/api.ts only. */
export interface AppDeps {
  readonly db: Db;
  readonly sql: Sql;
  readonly config: Config;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly temporal: TemporalStarter;
  /** One per process, because it limits how many hashings run at once. */
  readonly passwords: PasswordHasher;
  /** Column encryption (git keys, states, agent tokens). */
  readonly cipher: ColumnCipher;
  /** LISTEN fan-out of this process, for streams. */
  readonly listener: Listener;
  /** What agents of this process say, and their sockets. */
  readonly agents: AgentIngest;
  /** What agents report of themselves for the metrics page. */
  readonly agentMetrics: AgentMetrics;
  /** Aborts when the process is told to stop: streams end with 1001, readyz turns red. */
  readonly shutdown: AbortSignal;
  now(): Date;
}

export interface ApiEnv {
  Bindings: HttpBindings;
  Variables: {
    deps: AppDeps;
    requestId: string;
    logger: Logger;
    /** Client's address behind trusted proxies; null when unknown (in-process requests). */
    clientIp: string | null;
    /** Set on every route that is not public. */
    subject: Subject;
    session: Session | undefined;
    /** The agent behind an agent token (routes with `access: 'agent'`). */
    agent: AgentIdentity;
    /** For audit rows: request id, address, user agent. */
    origin: AuditOrigin;
    /** Asks again whether the credentials still hold; long-lived streams call it. */
    stillAuthenticated: () => Promise<boolean>;
    /** Pattern of the matched route, for metrics and rate limits. */
    routePattern: string;
  };
}

export type App = OpenAPIHono<ApiEnv>;

/** Subject and origin of a request, as commands take them. */
export const callerOf = (c: Context<ApiEnv>): Caller => ({ subject: c.var.subject, origin: c.var.origin });
