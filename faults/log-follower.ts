import { setTimeout as delay } from 'node:timers/promises';
import { WebSocket } from 'ws';

/** A reader of a build's log who comes back, with the last id it has, whenever its API is gone. */
export interface LogFollower {
  /** Ids in the order in which they came. */
  readonly ids: readonly number[];
  /** How often the stream ended before the log did, so that the reader had to come back. */
  readonly returns: () => number;
  /** Resolves when an API said that the log is complete. */
  readonly complete: Promise<void>;
  stop(): void;
}

const againAfterMs = 50;
const completed = 1000;

/** Each connection goes to the next replica. */
export function followLog(
  apiUrls: readonly string[],
  { buildId, token }: { buildId: string; token: string },
): LogFollower {
  const ids: number[] = [];
  let returns = 0;
  let stopped = false;
  let socket: WebSocket | undefined;
  const once = (): Promise<number> =>
    new Promise((resolve) => {
      const base = apiUrls[returns % apiUrls.length]!.replace(/^http/, 'ws');
      const path = `/api/v2/workspacebuilds/${buildId}/logs?follow=true&after=${ids.at(-1) ?? 0}`;
      socket = new WebSocket(`${base}${path}`, { headers: { 'Coder-Session-Token': token } });
      socket.on('message', (data) => ids.push((JSON.parse((data as Buffer).toString()) as { id: number }).id));
      // Refused, reset or silent: the close that follows is all that counts.
      socket.on('error', () => undefined);
      socket.on('close', resolve);
    });
  const complete = (async () => {
    while (!stopped) {
      if ((await once()) === completed) return;
      returns += 1;
      await delay(againAfterMs);
    }
  })();
  return {
    ids,
    returns: () => returns,
    complete,
    stop() {
      stopped = true;
      socket?.terminate();
    },
  };
}

/** What is wrong with what a reader got, compared with the rows as they are stored at the end. */
export function compareWithRows(ids: readonly number[], stored: readonly number[]): string[] {
  const got = new Set(ids);
  const wrong: string[] = [];
  if (stored.length === 0) wrong.push('no row is stored');
  if (got.size < ids.length) wrong.push(`${ids.length - got.size} rows came twice`);
  const missing = stored.filter((id) => !got.has(id));
  if (missing.length > 0) wrong.push(`${missing.length} rows never came: ${missing.slice(0, 5).join(', ')}`);
  const rows = new Set(stored);
  const unknown = ids.filter((id) => !rows.has(id));
  if (unknown.length > 0)
    wrong.push(`${unknown.length} rows came that are not stored: ${unknown.slice(0, 5).join(', ')}`);
  if (ids.some((id, index) => index > 0 && id < ids[index - 1]!)) wrong.push('the rows came out of order');
  return wrong;
}
