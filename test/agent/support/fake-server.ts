import { type IncomingMessage, type ServerResponse, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type WebSocket, WebSocketServer } from 'ws';
import type { AgentFrame, Manifest, ScriptTiming, ServerFrame } from '../../../agent/protocol.ts';
import { waitFor } from '../../support/wait.ts';

export interface Received {
  readonly method: string;
  /** Below `/api/v2/workspaceagents/me`, with its query; other paths in full. */
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  readonly raw: string;
  // oxlint-disable-next-line typescript/no-explicit-any -- bodies are probed freely
  readonly body: any;
}
export interface Reply {
  readonly status: number;
  readonly headers?: Record<string, string>;
  readonly body?: unknown;
}
type Handler = (request: Received) => Reply | undefined;

/** What the server side of an agent says, as far as a test needs it. */
export interface FakeServer {
  readonly url: string;
  readonly port: number;
  readonly requests: Received[];
  /** Open sockets, oldest first; each handshake's address is in `handshakes`. */
  readonly sockets: WebSocket[];
  readonly handshakes: string[];
  readonly answers: AgentFrame[];
  manifest: Manifest;
  /** First that answers wins; undefined = as usual. */
  handler: Handler;
  /** Answers a handshake instead of opening the socket. */
  refuse: ((path: string) => Reply | undefined) | undefined;
  /** Open reinit streams; without `reinitOpen` they are answered 409. */
  reinitOpen: boolean;
  readonly streams: ServerResponse[];
  send(frame: ServerFrame): void;
  to(path: string): Received[];
  states(): string[];
  timings(): ScriptTiming[];
  lines(): { source: string; level: string; output: string }[];
  waitForState(state: string): Promise<unknown>;
  /** Ends every connection, as a process that dies. */
  close(): Promise<void>;
}

const prefix = '/api/v2/workspaceagents/me';
const usual: Readonly<Record<string, Reply>> = {
  '/report-stats': { status: 200, body: { report_interval: 30e9 } },
  '/startup': { status: 200 },
  '/logs': { status: 200 },
  '/app-health': { status: 200 },
};

export async function startFakeServer(manifest: Manifest, port = 0): Promise<FakeServer> {
  const sockets: WebSocket[] = [];
  const server = createServer((incoming, outgoing) => {
    const chunks: Buffer[] = [];
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
    incoming.on('end', () => {
      const raw = Buffer.concat(chunks).toString('utf8');
      const path = (incoming.url ?? '').replace(prefix, '');
      const body: unknown = raw.startsWith('{') ? JSON.parse(raw) : undefined;
      const received = { method: incoming.method ?? '', path, headers: incoming.headers, raw, body };
      fake.requests.push(received);
      const given = fake.handler(received);
      if (given === undefined && path.startsWith('/reinit') && fake.reinitOpen) {
        outgoing.writeHead(200, { 'Content-Type': 'text/event-stream' });
        outgoing.write('event: ping\n\n');
        fake.streams.push(outgoing);
        return;
      }
      const { status, headers, body: answer } = given ?? usualReply(received);
      outgoing.writeHead(status, { 'Content-Type': 'application/json', ...headers });
      outgoing.end(typeof answer === 'string' || Buffer.isBuffer(answer) ? answer : JSON.stringify(answer ?? {}));
    });
  });
  const usualReply = ({ path }: Received): Reply => {
    if (path === '/manifest') return { status: 200, body: fake.manifest };
    if (path.startsWith('/reinit')) return { status: 409 };
    return usual[path] ?? { status: 204 };
  };
  const webSockets = new WebSocketServer({ noServer: true });
  server.on('upgrade', (incoming, socket, head) => {
    const path = incoming.url ?? '';
    fake.handshakes.push(path);
    const refusal = fake.refuse?.(path);
    if (refusal !== undefined) {
      const headers = Object.entries({ ...refusal.headers, Connection: 'close', 'Content-Length': '0' });
      socket.end(
        `HTTP/1.1 ${refusal.status} No\r\n${headers.map(([name, value]) => `${name}: ${value}`).join('\r\n')}\r\n\r\n`,
      );
      return;
    }
    webSockets.handleUpgrade(incoming, socket, head, (webSocket) => {
      sockets.push(webSocket);
      webSocket.on('message', (data: Buffer) => fake.answers.push(JSON.parse(data.toString('utf8')) as AgentFrame));
      webSocket.on('close', () => sockets.splice(sockets.indexOf(webSocket), 1));
    });
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  const bound = (server.address() as AddressInfo).port;
  const fake: FakeServer = {
    url: `http://127.0.0.1:${bound}`,
    port: bound,
    requests: [],
    sockets,
    handshakes: [],
    answers: [],
    streams: [],
    manifest,
    handler: () => undefined,
    refuse: undefined,
    reinitOpen: false,
    send: (frame) => sockets.at(-1)?.send(JSON.stringify(frame)),
    to: (path) => fake.requests.filter((request) => request.path.startsWith(path)),
    states: () => fake.to('/report-lifecycle').map(({ body }) => String(body.state)),
    timings: () => fake.to('/script-timings').map(({ body }) => body as ScriptTiming),
    lines: () =>
      fake.to('/logs').flatMap(({ body }) =>
        (body.logs as { level: string; output: string }[]).map(({ level, output }) => ({
          source: String(body.log_source_id),
          level,
          output,
        })),
      ),
    waitForState: (state) =>
      waitFor(`state ${state}`, async () => fake.states().includes(state), 20_000).catch((err: unknown) => {
        throw new Error(`${String(err)}; there were: ${fake.states().join(', ')}`);
      }),
    async close() {
      for (const socket of sockets) socket.terminate();
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
  return fake;
}
