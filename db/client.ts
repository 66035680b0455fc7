import { type SQL, type SQLWrapper, sql } from 'drizzle-orm';
import { drizzle } from 'drizzle-orm/postgres-js';
import type { PgDatabase } from 'drizzle-orm/pg-core';
import type { PostgresJsQueryResultHKT } from 'drizzle-orm/postgres-js';
import postgres from 'postgres';
import { toUuids } from './json.ts';

/** Pool or transaction: every query takes it first. */
export type Db = PgDatabase<PostgresJsQueryResultHKT, Record<string, never>>;
export type Sql = postgres.Sql;

export interface Database {
  readonly db: Db;
  /** The driver itself, for LISTEN/NOTIFY and COPY only. */
  readonly sql: Sql;
  close(): Promise<void>;
}

/** Seconds until the next try to connect: a server that comes back is there again at once, not after half a minute. */
const reconnectAfter = (tries: number): number => (0.5 + Math.random() / 2) * Math.min(0.05 * 2 ** tries, 1);

/** Our transactions wait for nothing but the database; far below the lease of a job. */
const idleInTransactionMs = 10_000;

/** Statements with more parameters are mostly lists of varying length, each of them a statement of its own. */
const preparedUpToParameters = 32;

/**
 * The driver with named prepared statements for what drizzle sends: planned once per connection, and one round trip instead
 * of two. Drizzle calls `unsafe` and says there that nothing is to be prepared.
 */
function preparing<Client extends postgres.Sql | postgres.TransactionSql>(client: Client): Client {
  const unsafe = (query: string, parameters: never[] = [], options: object = {}) =>
    client.unsafe(query, parameters, {
      ...options,
      ...(parameters.length > 0 && parameters.length <= preparedUpToParameters && { prepare: true }),
    });
  const within =
    (name: 'begin' | 'savepoint') =>
    (...args: unknown[]) => {
      const work = args.pop() as (tx: postgres.TransactionSql) => unknown;
      const method = (client as unknown as Record<string, (...all: unknown[]) => unknown>)[name]!;
      return method(...args, (tx: postgres.TransactionSql) => work(preparing(tx)));
    };
  return new Proxy(client, {
    get(target, key) {
      if (key === 'unsafe') return unsafe;
      if (key === 'begin' || key === 'savepoint') return within(key);
      return Reflect.get(target, key) as unknown;
    },
  });
}

/**
 * Opens a pool of at most `max` connections. Statements are prepared once per connection. Statement timeout 60 s: a
 * forgotten query must not hold a connection for ever (design §5 "reconcilers that eat the database").
 */
export function connect(
  url: string,
  options: { max: number; applicationName: string; onStatement?: (text: string) => void },
): Database {
  const { onStatement } = options;
  const client = postgres(url, {
    max: options.max,
    // A new connection has to plan every statement anew.
    idle_timeout: 600,
    connect_timeout: 10,
    max_lifetime: 60 * 60,
    backoff: reconnectAfter,
    onnotice: () => undefined,
    connection: {
      application_name: options.applicationName,
      TimeZone: 'UTC',
      statement_timeout: 60_000,
      // A process that stands still (its machine is paused) in the middle of a transaction must not keep its locks from others.
      idle_in_transaction_session_timeout: idleInTransactionMs,
    },
  });
  const db = drizzle(preparing(client), onStatement === undefined ? {} : { logger: { logQuery: onStatement } });
  return { db: db as unknown as Db, sql: client, close: () => client.end({ timeout: 5 }) };
}

/** What drizzle puts between a query and a connection, of a pool or of a transaction. */
interface Session {
  readonly client: unknown;
  readonly logger: unknown;
}

/**
 * A query that is asked all the time: drizzle makes its text once per process, which costs more than sending it, and each pool or
 * transaction sends that text. `build` writes what changes as `sql.placeholder(<name of a value>)`, and prepares.
 */
export function preparedQuery<Values extends Record<string, unknown>, Row>(
  build: (db: Db) => { execute(values: Record<string, unknown>): Promise<Row[]> },
): (db: Db, values: Values) => Promise<Row[]> {
  let built: ReturnType<typeof build> | undefined;
  return (db, values) => {
    built ??= build(db);
    const { client, logger } = (db as unknown as { session: Session }).session;
    // Text, parameters and how rows are read are the same wherever it is sent.
    const query = Object.assign(Object.create(built), { client, logger }) as NonNullable<typeof built>;
    // Sent one turn later, as drizzle sends what is awaited: statements go in the order in which they were written.
    return Promise.resolve().then(() => query.execute(values));
  };
}

/**
 * The same for the rows of some ids: `build` asks `among(column)` for the condition. One id has a statement of its own, because the
 * plan for any number of them is a worse one.
 */
export function preparedByIds<Row, Values extends Record<string, unknown> = Record<never, never>>(
  build: (db: Db, among: (column: SQLWrapper) => SQL) => { execute(values: Record<string, unknown>): Promise<Row[]> },
): (db: Db, ids: readonly string[], values?: Values) => Promise<Row[]> {
  const ids = sql.placeholder('ids');
  const one = preparedQuery<Record<string, unknown>, Row>((db) => build(db, (column) => sql`${column} = ${ids}::uuid`));
  const many = preparedQuery<Record<string, unknown>, Row>((db) =>
    build(db, (column) => sql`${column} = any(${ids}::uuid[])`),
  );
  return (db, given, values) =>
    given.length === 1 ? one(db, { ...values, ids: given[0] }) : many(db, { ...values, ids: toUuids(given) });
}

/** SQLSTATE of a driver error, also when drizzle wrapped it; undefined for anything else. */
export function sqlState(err: unknown): string | undefined {
  for (let cause: unknown = err; cause instanceof Error; cause = cause.cause) {
    if ('code' in cause && typeof cause.code === 'string' && /^[0-9A-Z]{5}$/.test(cause.code)) return cause.code;
  }
  return undefined;
}

/** Name of the violated constraint or index, when the error is such a violation. */
export function violatedConstraint(err: unknown): string | undefined {
  for (let cause: unknown = err; cause instanceof Error; cause = cause.cause) {
    if ('constraint_name' in cause && typeof cause.constraint_name === 'string') return cause.constraint_name;
  }
  return undefined;
}

const serializationFailures = new Set(['40001', '40P01']);

/** Runs `work` in one transaction; serialization failures and deadlocks are tried again, at most 5 times (spec/01 §0). */
export async function transaction<T>(db: Db, work: (tx: Db) => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await db.transaction((tx) => work(tx as unknown as Db));
    } catch (err) {
      if (attempt >= 5 || !serializationFailures.has(sqlState(err) ?? '')) throw err;
    }
  }
}

/**
 * The statements of this transaction are planned once per connection. PostgreSQL plans a prepared statement for its values at least
 * five times, and some, such as those with a list of ids, for ever: for transactions that are short and of many statements, all of
 * them by keys. Goes first.
 */
export async function planOnce(tx: Db): Promise<void> {
  await tx.execute(sql`set local plan_cache_mode = force_generic_plan`);
}

const refusedAfterFailure = '25P02';

/**
 * Statements of one transaction that are sent at once and run in this order: one round trip for all. (A bare query of drizzle begins
 * when it is awaited, that is after functions that were called beside it.) When one fails PostgreSQL refuses those after it; thrown
 * is the error of the one.
 */
export async function pipelined<T extends readonly unknown[]>(
  statements: readonly [...T],
): Promise<{ -readonly [K in keyof T]: Awaited<T[K]> }> {
  const settled = await Promise.allSettled(statements);
  const errors: unknown[] = settled.flatMap((each) => (each.status === 'rejected' ? [each.reason as unknown] : []));
  if (errors.length > 0) throw errors.find((err) => sqlState(err) !== refusedAfterFailure) ?? errors[0];
  // Not awaited twice: drizzle would send them twice.
  return settled.map((each) => (each as PromiseFulfilledResult<unknown>).value) as never;
}

const connectionErrors = new Set([
  'CONNECTION_CLOSED',
  'CONNECTION_ENDED',
  'CONNECTION_DESTROYED',
  'CONNECT_TIMEOUT',
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
]);

/**
 * The server is gone or going (SQLSTATE classes 57P and 08), full (53300), has given up a transaction of ours that stood still
 * (25P03), or the driver says so: the same statement may work later.
 */
export function isDatabaseAway(err: unknown): boolean {
  const state = sqlState(err) ?? '';
  if (state.startsWith('57P') || state.startsWith('08') || state === '53300' || state === '25P03') return true;
  for (let cause: unknown = err; cause instanceof Error; cause = cause.cause)
    if ('code' in cause && connectionErrors.has(String(cause.code))) return true;
  return false;
}
