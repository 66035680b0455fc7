import { setTimeout as delay } from 'node:timers/promises';
import { type Database, connect } from '../../db/client.ts';
import { quantile } from '../report.ts';

/** Connections of a process, as by default (`CODER_PG_CONN_MAX_OPEN`). */
export const poolSize = 10;
const probeEveryMs = 2;

export interface Load {
  readonly ms: number;
  /** Sent through drizzle; begin and commit are not among them. */
  readonly statements: number;
  /** Transactions open and statements outside of one under way, at once. */
  readonly connectionsMax: number;
  /** `select 1` on the same pool meanwhile: what everybody else in this process would wait. */
  readonly probeP99Ms: number;
}

export interface CountedDatabase extends Database {
  measure(work: () => Promise<unknown>): Promise<Load>;
}

/** Our pool of connections, of which every use is counted. */
export function connectCounted(url: string): CountedDatabase {
  let statements = 0;
  let inUse = 0;
  let inUseMax = 0;
  const database = connect(url, {
    max: poolSize,
    applicationName: 'berth-bench',
    onStatement: () => void (statements += 1),
  });
  const taken = () => {
    inUse += 1;
    inUseMax = Math.max(inUseMax, inUse);
  };
  const released = () => void (inUse -= 1);
  const { sql } = database;
  const { begin, unsafe } = sql as unknown as Record<'begin' | 'unsafe', (...args: unknown[]) => Promise<unknown>>;
  Object.assign(sql, {
    // The callback is called once the transaction has its connection.
    begin: (...args: unknown[]) => {
      const work = args.pop() as (tx: unknown) => Promise<unknown>;
      let has = false;
      const running = begin(...args, (tx: unknown) => {
        has = true;
        taken();
        return work(tx);
      });
      const over = () => has && released();
      running.then(over, over);
      return running;
    },
    // Sent when it is awaited, which drizzle does at once.
    unsafe: (...args: unknown[]) => {
      const query = unsafe(...args);
      taken();
      setImmediate(() => void query.then(released, released));
      return query;
    },
  });
  return {
    ...database,
    async measure(work) {
      await warm(database);
      statements = 0;
      inUseMax = inUse;
      const waits: number[] = [];
      let over = false;
      const probing = (async () => {
        while (!over) {
          const began = performance.now();
          await sql`select 1`;
          waits.push(performance.now() - began);
          await delay(probeEveryMs);
        }
      })();
      const began = performance.now();
      await work();
      const ms = performance.now() - began;
      over = true;
      await probing;
      return {
        ms,
        statements,
        connectionsMax: Math.min(inUseMax, poolSize),
        probeP99Ms: quantile(waits, 0.99),
      };
    },
  };
}

/** All connections are open: opening them is no part of a cycle. */
const warm = ({ sql }: Database) => Promise.all(Array.from({ length: poolSize }, () => sql`select pg_sleep(0.02)`));
