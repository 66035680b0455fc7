import type { Client } from './client.ts';
import { followSocket } from './follow-socket.ts';
import type { JobLog } from './types.ts';

export interface FollowOptions {
  /** Of a job's log, e.g. `/api/v2/workspacebuilds/<id>/logs`. */
  readonly path: string;
  /** Rows up to this id are known already. */
  readonly after?: number;
  readonly onLog: (log: JobLog) => void;
  readonly signal?: AbortSignal | undefined;
  /** How long no connection may succeed before it is an error. */
  readonly patienceMs?: number;
}

/**
 * Every row of a job's log exactly once and in order, until the job's last one: after a lost connection it asks for what
 * came after the last row it has seen. Returns the last id; ends early when `signal` aborts. Throws CliError.
 */
export async function followLogs(client: Client, options: FollowOptions): Promise<number> {
  const { path, onLog, signal, patienceMs } = options;
  let last = options.after ?? 0;
  await followSocket(client, {
    path: () => `${path}?follow=true&after=${last}`,
    plainPath: () => `${path}?after=${last}`,
    onMessage(message) {
      const log = message as JobLog;
      // A row that was on its way twice: the ids of a log only grow.
      if (log.id <= last) return;
      last = log.id;
      onLog(log);
    },
    what: 'The log',
    next: 'what was started goes on; look again with berth logs -f',
    signal,
    patienceMs,
  });
  return last;
}
