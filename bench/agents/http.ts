import { Agent, request } from 'node:http';

/** Kept open and shared, as between a reverse proxy and the server: connections are not what is measured. */
const pool = new Agent({ keepAlive: true, maxSockets: 256, scheduling: 'lifo' });

export interface Outcome {
  readonly status: number;
  readonly ms: number;
}

/** Sends and reads to the end of the answer. Rejects with the connection's error. */
export function send(url: string, { token, method, body }: { token: string; method: string; body?: string }) {
  return new Promise<Outcome>((resolve, reject) => {
    const begin = performance.now();
    const headers = {
      'Coder-Session-Token': token,
      ...(body !== undefined && { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) }),
    };
    const outgoing = request(url, { agent: pool, method, headers }, (response) => {
      response.on('end', () => resolve({ status: response.statusCode ?? 0, ms: performance.now() - begin }));
      response.on('error', reject);
      response.resume();
    });
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}

/** How many of which kind went wrong: `503`, `ECONNREFUSED`, … */
export class Errors {
  readonly counts: Record<string, number> = {};
  add(err: unknown): void {
    const { code, message } = err as NodeJS.ErrnoException;
    const name = code ?? message;
    this.counts[name] = (this.counts[name] ?? 0) + 1;
  }
  /** What there is, and begins anew. */
  take(): Record<string, number> {
    const taken = { ...this.counts };
    for (const name of Object.keys(taken)) delete this.counts[name];
    return taken;
  }
}
