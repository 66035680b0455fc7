import * as http from 'node:http';
import * as https from 'node:https';

/**
 * Requests over node:http, which the WebSocket needs anyway: `fetch` would load a second HTTP client and keep some ten
 * megabytes for it.
 */
export interface HttpRequest {
  readonly method: string;
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | undefined;
  /** From the beginning to the last byte; 0 = none. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly text: string;
}

/** Answers are small, but for the manifest (4 MiB, spec/05 §17). */
const maxAnswerBytes = 8 * 1024 * 1024;
const keepAlive = { keepAlive: true, maxSockets: 8, timeout: 30_000 };
const pools = { 'http:': new http.Agent(keepAlive), 'https:': new https.Agent(keepAlive) };

/** The answer as soon as its head is there; its body is still to be read. Rejects when nobody answers. */
export function openRequest(request: HttpRequest): Promise<http.IncomingMessage> {
  const { method, headers, body, timeoutMs, signal } = request;
  return new Promise((resolve, reject) => {
    const url = new URL(request.url);
    const secure = url.protocol === 'https:';
    const outgoing = (secure ? https : http).request(
      url,
      {
        method,
        agent: pools[secure ? 'https:' : 'http:'],
        headers: { ...headers, ...(body !== undefined && { 'Content-Length': Buffer.byteLength(body) }) },
        ...(signal && { signal }),
      },
      resolve,
    );
    if (timeoutMs > 0) {
      const timer = setTimeout(() => outgoing.destroy(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
      outgoing.once('close', () => clearTimeout(timer));
    }
    outgoing.once('error', reject);
    // An error after the head must not end the process; the reader of the body sees it as well.
    outgoing.on('error', () => undefined);
    outgoing.end(body);
  });
}

/** Rejects only when there is no whole answer: no connection, time-out, abort. */
export async function request(options: HttpRequest): Promise<HttpAnswer> {
  const incoming = await openRequest(options);
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of incoming as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > maxAnswerBytes) {
      incoming.destroy();
      throw new Error('the answer is too long');
    }
    chunks.push(chunk);
  }
  return { status: incoming.statusCode ?? 0, headers: incoming.headers, text: Buffer.concat(chunks).toString('utf8') };
}
