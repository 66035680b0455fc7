import { readFileSync } from 'node:fs';
import { retryAfterMs } from './backoff.ts';
import { identityDocuments } from './cloud-identity.ts';
import { request } from './http.ts';
import type { Settings } from './settings.ts';

/** The token of every call: given, read from a file, or exchanged for the machine's identity. */
export interface TokenSource {
  /** '' before the first `renew` of an identity. */
  readonly current: () => string;
  /** Before each connection: a new build means a new token on the same machine. Throws RefusedExchange or any error. */
  readonly renew: (signal: AbortSignal) => Promise<void>;
}

/** The server answered the exchange, but gave no token. */
export class RefusedExchange extends Error {
  readonly status: number;
  readonly retryAfterMs: number | null;
  constructor(status: number, retryAfter: number | null) {
    super(`the server refused this machine's identity with ${status}`);
    this.status = status;
    this.retryAfterMs = retryAfter;
  }
}

/** Source: spec/05 §2. */
export function createTokenSource(settings: Settings, timeoutMs: number): TokenSource {
  let token = settings.token;
  const { auth, tokenFile, url, agentName } = settings;
  if (auth === 'token') {
    const read = (): void => {
      if (tokenFile !== '') token = readFileSync(tokenFile, 'utf8').trim();
    };
    return {
      current: () => token,
      renew: async () => read(),
    };
  }
  return {
    current: () => token,
    async renew(signal) {
      const documents = await identityDocuments(auth, { metadataUrl: settings.metadataUrl, signal });
      const answer = await request({
        method: 'POST',
        url: `${url}/api/v2/workspaceagents/${auth}`,
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify({ ...documents, ...(agentName !== '' && { agent_name: agentName }) }),
        timeoutMs,
        signal,
      });
      if (answer.status !== 200)
        throw new RefusedExchange(answer.status, retryAfterMs(answer.headers['retry-after'], Date.now()));
      const { session_token } = JSON.parse(answer.text) as { session_token?: unknown };
      if (typeof session_token !== 'string') throw new Error('the identity exchange gave no token');
      token = session_token;
    },
  };
}
