import { serve } from '@hono/node-server';
import type { WebSocketServerLike } from '@hono/node-server';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { WebSocket, WebSocketServer } from 'ws';
import type { TestApi } from './api.ts';

export interface ServedApi {
  readonly url: string;
  /** An open WebSocket of the path below /api/v2; frames are gathered as text. */
  socket(path: string, token: string): TestSocket;
  close(): Promise<void>;
}

export interface TestSocket {
  readonly socket: WebSocket;
  readonly frames: string[];
  /** Set when it was closed: code and reason. */
  closed: { code: number; reason: string } | undefined;
  /** Status of a refused upgrade. */
  refused: number | undefined;
}

/** The API behind a real port, for WebSockets. */
export async function serveApi(api: TestApi, options: { port?: number } = {}): Promise<ServedApi> {
  const sockets = new WebSocketServer({ noServer: true });
  const server = serve({
    fetch: api.app.fetch,
    port: options.port ?? 0,
    hostname: '127.0.0.1',
    websocket: { server: sockets as unknown as WebSocketServerLike },
  });
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const open = new Set<WebSocket>();
  return {
    url: `http://127.0.0.1:${port}`,
    socket(path, token) {
      const socket = new WebSocket(`ws://127.0.0.1:${port}/api/v2${path}`, {
        headers: { 'Coder-Session-Token': token },
      });
      open.add(socket);
      const test: TestSocket = { socket, frames: [], closed: undefined, refused: undefined };
      socket.on('message', (data: Buffer) => void test.frames.push(data.toString()));
      socket.on('close', (code, reason) => (test.closed = { code, reason: reason.toString() }));
      socket.on('unexpected-response', (_request, response) => {
        test.refused = response.statusCode;
        socket.terminate();
      });
      socket.on('error', () => undefined);
      return test;
    },
    async close() {
      for (const socket of [...open, ...sockets.clients]) socket.terminate();
      if ('closeAllConnections' in server) server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
}
