import { createServer } from 'node:http';
import type { IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { onTestFinished } from 'vitest';

export interface FakeAnswer {
  readonly status?: number;
  readonly body?: unknown;
  /** Sent as it is, with this content type. */
  readonly text?: { readonly type: string; readonly value: string };
  readonly headers?: Readonly<Record<string, string>>;
  /** Closes the connection without an answer. */
  readonly cut?: boolean;
}
export interface Seen {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

/** An HTTP server that says what a test wants to see handled: errors that a real one gives too rarely. */
export async function fakeServer(
  answer: (seen: Seen, count: number) => FakeAnswer,
): Promise<{ url: string; seen: Seen[]; close(): Promise<void> }> {
  const seen: Seen[] = [];
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString()));
    request.on('end', () => {
      const entry = { method: request.method ?? '', path: request.url ?? '', headers: request.headers, body };
      seen.push(entry);
      const { status = 200, body: json, text, headers = {}, cut = false } = answer(entry, seen.length);
      if (cut) return void request.socket.destroy();
      response.writeHead(status, { 'content-type': text?.type ?? 'application/json', ...headers });
      response.end(text?.value ?? (json === undefined ? '' : JSON.stringify(json)));
    });
  });
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready));
  const close = async (): Promise<void> => {
    server.closeAllConnections();
    await new Promise((done) => server.close(done));
  };
  onTestFinished(close);
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, seen, close };
}
