import type postgres from 'postgres';
import { setTimeout as delay } from 'node:timers/promises';
import { isDatabaseAway } from '../db/client.ts';

/** A job's row as last seen. */
export interface JobRow {
  readonly id: string;
  readonly status: string;
  readonly attempt: number;
  /** Milliseconds since the epoch; 0 = no lease. */
  readonly leaseUntilMs: number;
  readonly hostId: string | null;
  readonly over: boolean;
  readonly error: string | null;
  /** Serial of the newest state that its build has stored; -1 = none. */
  readonly stateSerial: number;
}

/** Looks at the jobs' rows every 20 ms; while the database is away nobody sees anything. */
export interface JobWatch {
  watch(jobId: string): void;
  /** No more looks at it; its last row stays known. */
  leave(jobId: string): void;
  /** Undefined until it was seen for the first time. */
  row(jobId: string): JobRow | undefined;
  /** Calls `listener` after each look that found something changed, until it is removed by the answered function. */
  onChange(jobId: string, listener: (row: JobRow) => void): () => void;
  /** The first row seen from now on that fits; undefined when none comes in time. Rejects when the table cannot be read. */
  until(jobId: string, fits: (row: JobRow) => boolean, boundMs: number): Promise<JobRow | undefined>;
  stop(): Promise<void>;
}

const lookEveryMs = 20;

export function startJobWatch(sql: postgres.Sql): JobWatch {
  const watched = new Set<string>();
  const rows = new Map<string, JobRow>();
  const listeners = new Map<string, Set<(row: JobRow) => void>>();
  let stopped = false;
  let failure: unknown;
  const look = async (): Promise<void> => {
    const ids = [...watched];
    if (ids.length === 0) return;
    const seen = await sql<JobRow[]>`
      select j.id, j.job_status as status, j.attempt, j.host_id as "hostId", j.error, j.completed_at is not null as over,
        coalesce(extract(epoch from j.lease_until) * 1000, 0)::float8 as "leaseUntilMs",
        coalesce((select max(s.serial) from workspace_build_states s join workspace_builds b on b.id = s.workspace_build_id
          where b.job_id = j.id), -1)::int as "stateSerial"
      from provisioner_jobs j where j.id = any(${ids}::uuid[])`;
    for (const row of seen) {
      const before = rows.get(row.id);
      rows.set(row.id, row);
      if (JSON.stringify(before) !== JSON.stringify(row)) for (const tell of listeners.get(row.id) ?? []) tell(row);
    }
  };
  const looking = (async () => {
    while (!stopped && failure === undefined) {
      await look().catch((err: unknown) => {
        if (!isDatabaseAway(err)) failure = err;
      });
      await delay(lookEveryMs);
    }
  })();
  const onChange = (jobId: string, listener: (row: JobRow) => void): (() => void) => {
    const set = listeners.get(jobId) ?? new Set();
    listeners.set(jobId, set.add(listener));
    return () => set.delete(listener);
  };
  return {
    watch: (jobId) => void watched.add(jobId),
    leave: (jobId) => void watched.delete(jobId),
    row: (jobId) => rows.get(jobId),
    onChange,
    until: (jobId, fits, boundMs) =>
      new Promise((resolve, reject) => {
        if (failure !== undefined) return reject(failure);
        const settle = (row: JobRow | undefined): void => {
          clearTimeout(timer);
          remove();
          resolve(row);
        };
        const remove = onChange(jobId, (row) => {
          if (fits(row)) settle(row);
        });
        const timer = setTimeout(() => settle(undefined), boundMs);
        const now = rows.get(jobId);
        if (now !== undefined && fits(now)) settle(now);
      }),
    async stop() {
      stopped = true;
      await looking;
    },
  };
}
