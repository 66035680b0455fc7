import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import fc from 'fast-check';
import { expect, onTestFinished, test } from 'vitest';
import { WebSocketServer } from 'ws';
import { createClient } from '../../cli/client.ts';
import { followLogs } from '../../cli/follow-logs.ts';
import type { JobLog } from '../../cli/types.ts';

/** What a connection does: rows up to an id (from some rows before where it should begin), then an end. */
interface Turn {
  readonly rows: number;
  readonly overlap: number;
  readonly end: 'cut' | 'away' | 'refuse';
}

/** A log of `total` rows behind connections that end as `turns` say; once they are used up, everything goes well. */
async function logServer(total: number, turns: readonly Turn[]): Promise<{ url: string; asked: number[] }> {
  const asked: number[] = [];
  const server = createServer((_request, response) => response.writeHead(200).end('[]'));
  const sockets = new WebSocketServer({ noServer: true });
  server.on('upgrade', (request, socket, head) => {
    const after = Number(new URL(request.url ?? '', 'http://x').searchParams.get('after'));
    const turn = turns[asked.length];
    asked.push(after);
    if (turn?.end === 'refuse') return void socket.end('HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n');
    sockets.handleUpgrade(request, socket, head, (ws) => {
      const last = turn === undefined ? total : Math.min(total, after + turn.rows);
      for (let id = Math.max(1, after + 1 - (turn?.overlap ?? 0)); id <= last; id += 1)
        ws.send(JSON.stringify({ id: id * 1, created_at: '', log_level: 'info', stage: '', output: `row ${id}` }));
      if (turn === undefined) ws.close(1000);
      else if (turn.end === 'away') ws.close(1001);
      else ws.terminate();
    });
  });
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready));
  closing.push(() => {
    for (const client of sockets.clients) client.terminate();
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked };
}
const closing: (() => void)[] = [];
const closeAll = (): void => {
  for (const close of closing.splice(0)) close();
};

const turn = fc.record({
  rows: fc.integer({ min: 0, max: 6 }),
  overlap: fc.integer({ min: 0, max: 3 }),
  end: fc.constantFrom('cut' as const, 'away' as const, 'refuse' as const),
});

test('whatever happens to the connections, every row arrives once and in order', async () => {
  onTestFinished(closeAll);
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 0, max: 20 }), fc.array(turn, { maxLength: 4 }), async (total, turns) => {
      const { url, asked } = await logServer(total, turns);
      const rows: JobLog[] = [];
      const last = await followLogs(createClient({ url, token: 't' }), {
        path: '/logs',
        onLog: (log) => rows.push(log),
      });
      expect(rows.map(({ id }) => id)).toEqual(Array.from({ length: total }, (_, index) => index + 1));
      expect(last).toBe(total);
      expect(asked).toEqual(asked.toSorted((a, b) => a - b));
      closeAll();
    }),
    { numRuns: 15 },
  );
});

test('rows that are known already are not asked for', async () => {
  onTestFinished(closeAll);
  const { url, asked } = await logServer(5, []);
  const rows: number[] = [];
  await followLogs(createClient({ url, token: 't' }), { path: '/logs', after: 3, onLog: ({ id }) => rows.push(id) });
  expect(asked).toEqual([3]);
  expect(rows).toEqual([4, 5]);
});

test('a server that stays away ends the following with 5 and the way back', async () => {
  onTestFinished(closeAll);
  const refusals = Array.from({ length: 50 }, () => ({ rows: 0, overlap: 0, end: 'refuse' }) as const);
  const { url } = await logServer(5, refusals);
  const following = followLogs(createClient({ url, token: 't' }), { path: '/l', onLog: () => {}, patienceMs: 300 });
  await expect(following).rejects.toMatchObject({ exitCode: 5, next: expect.stringContaining('logs -f') as string });
});

test('a signal ends the following at once', async () => {
  onTestFinished(closeAll);
  const { url } = await logServer(
    1_000,
    Array.from({ length: 50 }, () => ({ rows: 0, overlap: 0, end: 'cut' }) as const),
  );
  const began = Date.now();
  await followLogs(createClient({ url, token: 't' }), {
    path: '/l',
    onLog: () => {},
    signal: AbortSignal.timeout(150),
  });
  expect(Date.now() - began).toBeLessThan(2_000);
});
