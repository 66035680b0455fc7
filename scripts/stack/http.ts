import { SetupFailure } from '../../toolchain/failure.ts';

export interface Answer<Body> {
  readonly status: number;
  readonly body: Body;
}
export interface Call {
  readonly method?: 'GET' | 'POST' | 'PUT' | 'DELETE';
  readonly token?: string;
  /** Sent as JSON. */
  readonly json?: unknown;
  readonly raw?: { readonly type: string; readonly bytes: Uint8Array };
  /** Statuses that the caller handles; any other one throws. */
  readonly expect: readonly number[];
}

/** One request to our API. Throws SetupFailure with the API's own message for an unexpected status. */
export async function callApi<Body>(baseUrl: string, path: string, call: Call): Promise<Answer<Body>> {
  const { method = 'GET', token, json, raw, expect } = call;
  const headers = new Headers();
  if (token !== undefined) headers.set('Coder-Session-Token', token);
  if (json !== undefined) headers.set('Content-Type', 'application/json');
  if (raw !== undefined) headers.set('Content-Type', raw.type);
  const payload = json === undefined ? raw?.bytes : JSON.stringify(json);
  const response = await fetch(`${baseUrl}${path}`, {
    method,
    headers,
    ...(payload !== undefined && { body: payload }),
    signal: AbortSignal.timeout(30_000),
  });
  const text = await response.text();
  const body = (response.headers.get('content-type')?.includes('json') === true ? JSON.parse(text) : text) as Body;
  if (expect.includes(response.status)) return { status: response.status, body };
  const { message = text, detail = '' } = (typeof body === 'object' ? body : {}) as {
    message?: string;
    detail?: string;
  };
  throw new SetupFailure(
    `${method} ${path} answered ${response.status}: ${message} ${detail}`.trim(),
    'see the log of the API (npm run up -- --status names it)',
  );
}
