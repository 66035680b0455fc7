/** Status 0 = no answer: nobody listens, or the connection broke before one came. */
export interface Answer<Body> {
  readonly status: number;
  readonly body: Body;
}
export interface Request {
  readonly json?: unknown;
  readonly tar?: Uint8Array;
  readonly idempotencyKey?: string;
}

/** The HTTP API as a client sees it. Errors are answers here: the scenarios judge them. */
export interface ApiClient {
  request<Body>(method: string, path: string, request?: Request): Promise<Answer<Body>>;
  /** Throws for any other status than the wanted one, or those. */
  expect<Body>(status: number | readonly number[], method: string, path: string, request?: Request): Promise<Body>;
}

const patienceMs = 30_000;

/** `url` is asked at each request, so that it may name another replica each time. */
export function createApiClient(url: () => string, token?: string): ApiClient {
  const request = async <Body>(method: string, path: string, call: Request = {}): Promise<Answer<Body>> => {
    const headers = new Headers();
    if (token !== undefined) headers.set('Coder-Session-Token', token);
    if (call.json !== undefined) headers.set('Content-Type', 'application/json');
    if (call.tar !== undefined) headers.set('Content-Type', 'application/x-tar');
    if (call.idempotencyKey !== undefined) headers.set('Idempotency-Key', call.idempotencyKey);
    const body = (call.json === undefined ? call.tar : JSON.stringify(call.json)) as RequestInit['body'];
    try {
      const signal = AbortSignal.timeout(patienceMs);
      const response = await fetch(`${url()}/api/v2${path}`, {
        method,
        headers,
        signal,
        ...(body != null && { body }),
      });
      const text = await response.text();
      const isJson = text !== '' && response.headers.get('content-type')?.includes('json') === true;
      return { status: response.status, body: (isJson ? JSON.parse(text) : text) as Body };
    } catch (err) {
      return { status: 0, body: String((err as Error).cause ?? err) as Body };
    }
  };
  return {
    request,
    async expect<Body>(
      status: number | readonly number[],
      method: string,
      path: string,
      call?: Request,
    ): Promise<Body> {
      const answer = await request<Body>(method, path, call);
      if ([status].flat().includes(answer.status)) return answer.body;
      throw new Error(`${method} ${path} answered ${answer.status}: ${JSON.stringify(answer.body).slice(0, 500)}`);
    },
  };
}
