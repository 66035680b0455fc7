import { cpSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { ReadyStack } from '../scripts/stack/ensure.ts';

export interface Api {
  get<T>(path: string): Promise<T>;
  post<T>(path: string, body: unknown): Promise<T>;
  put<T>(path: string, body: unknown): Promise<T>;
  patch<T>(path: string, body?: unknown): Promise<T>;
  upload<T>(path: string, body: Uint8Array): Promise<T>;
  /** Reads a job's log as it grows; resolves when the server ends the stream, because the job is over. */
  follow(path: string): Promise<void>;
}

/** The stack's API with the first user's session. Throws on any status that is not 2xx. */
export function apiOf(stack: ReadyStack): Api {
  const call = async <T>(
    method: string,
    path: string,
    body?: NonNullable<RequestInit['body']>,
    type?: string,
  ): Promise<T> => {
    const response = await fetch(`${stack.urls.api}/api/v2${path}`, {
      method,
      headers: { 'Coder-Session-Token': stack.session.token, ...(type !== undefined && { 'Content-Type': type }) },
      ...(body !== undefined && { body }),
    });
    // A setting that was so already.
    if (response.status === 304) return undefined as T;
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
    return (await response.json()) as T;
  };
  return {
    async follow(path) {
      const response = await fetch(`${stack.urls.api}/api/v2${path}${path.includes('?') ? '&' : '?'}follow=true`, {
        headers: { 'Coder-Session-Token': stack.session.token, Accept: 'text/event-stream' },
      });
      if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
      await response.text();
    },
    get: (path) => call('GET', path),
    patch: (path, body) =>
      body === undefined ? call('PATCH', path) : call('PATCH', path, JSON.stringify(body), 'application/json'),
    put: (path, body) => call('PUT', path, JSON.stringify(body), 'application/json'),
    post: (path, body) => call('POST', path, JSON.stringify(body), 'application/json'),
    upload: (path, body) => call('POST', path, body as NonNullable<RequestInit['body']>, 'application/x-tar'),
  };
}

/** An empty directory below `root` with the template's files. */
export function copyTemplate(root: string, name: string, source: string): string {
  const directory = join(root, name);
  mkdirSync(directory, { recursive: true });
  cpSync(source, directory, { recursive: true });
  return directory;
}
