import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import fc from 'fast-check';
import { expect, onTestFinished, test } from 'vitest';
import { WebSocketServer } from 'ws';
import { createClient } from '../../cli/client.ts';
import { followAgentLogs } from '../../cli/follow-agent-logs.ts';
import { followBuildUpdates } from '../../cli/follow-builds.ts';

/** One connection: the rows it sends, by message, and how it ends. */
interface Turn {
  readonly messages: readonly unknown[];
  readonly end: 'cut' | 'away' | 'refuse' | 'complete';
}

async function socketServer(turn: (after: string | null, count: number) => Turn) {
  const asked: (string | null)[] = [];
  const server = createServer((_request, response) =>
    response.writeHead(404, { 'content-type': 'application/json' }).end('{"message": "is off"}'),
  );
  const sockets = new WebSocketServer({ noServer: true });
  server.on('upgrade', (request, socket, head) => {
    const after = new URL(request.url ?? '', 'http://x').searchParams.get('after');
    asked.push(after);
    const { messages, end } = turn(after, asked.length);
    if (end === 'refuse') return void socket.end('HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n');
    sockets.handleUpgrade(request, socket, head, (ws) => {
      for (const message of messages) ws.send(JSON.stringify(message));
      if (end === 'cut') ws.terminate();
      else ws.close(end === 'away' ? 1001 : 1000);
    });
  });
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready));
  const close = (): void => {
    for (const client of sockets.clients) client.terminate();
    server.closeAllConnections();
    server.close();
  };
  onTestFinished(close);
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { client: createClient({ url, token: 't' }), asked, close };
}

test('every line of an agent arrives once and in order, however rows are grouped and connections end', async () => {
  const sizes = fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 4 });
  const turns = fc.array(fc.record({ sizes, overlap: fc.nat(3), end: fc.constantFrom('cut', 'away') }), {
    maxLength: 4,
  });
  await fc.assert(
    fc.asyncProperty(fc.nat(20), turns, async (total, plans) => {
      const { client, asked, close } = await socketServer((after, count) => {
        const plan = plans[count - 1];
        let next = Math.max(1, Number(after) + 1 - (plan?.overlap ?? 0));
        const groups = plan === undefined ? [0, total] : plan.sizes;
        const messages = groups.map((size) => {
          const rows = Array.from({ length: size }, () => ({ id: next++ })).filter(({ id }) => id <= total);
          return rows;
        });
        return { messages, end: plan?.end ?? 'complete' };
      });
      const ids: number[] = [];
      const last = await followAgentLogs(client, { agentId: 'a', onLog: ({ id }) => ids.push(id) });
      expect(ids).toEqual(Array.from({ length: total }, (_, index) => index + 1));
      expect(last).toBe(total);
      expect(asked.map(Number)).toEqual(asked.map(Number).toSorted((a, b) => a - b));
      close();
    }),
    { numRuns: 15 },
  );
});

test('changes of builds that were in flight at a cut are asked for again; known ones and older ones are not told', async () => {
  const stop = new AbortController();
  const update = (sequence: number) => ({ update_sequence: sequence });
  const { client, asked } = await socketServer((_after, count) =>
    count === 1
      ? { messages: [5_000, 5_002].map(update), end: 'cut' }
      : { messages: [5_000, 5_001, 5_002, 5_003].map(update), end: 'away' },
  );
  const seen: number[] = [];
  await followBuildUpdates(client, {
    signal: stop.signal,
    onUpdate({ update_sequence: sequence }) {
      seen.push(sequence);
      if (sequence === 5_003) stop.abort();
    },
  });
  expect(seen).toEqual([5_000, 5_002, 5_001, 5_003]);
  expect(asked.slice(0, 2)).toEqual([null, '4999']);
});

test('a refusal is told in the words of the server', async () => {
  const { client } = await socketServer(() => ({ messages: [], end: 'refuse' }));
  await expect(followBuildUpdates(client, { onUpdate: () => undefined })).rejects.toMatchObject({
    message: 'is off',
    status: 404,
  });
});
