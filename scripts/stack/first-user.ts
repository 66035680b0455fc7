import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from '../../config.ts';
import { writeAtomically } from '../../toolchain/lock.ts';
import { callApi } from './http.ts';

/** `<data dir>/cli.json`, mode 0600: where the CLI finds the local server and its session. */
export interface CliSession {
  readonly url: string;
  readonly token: string;
}
export interface Credentials {
  readonly email: string;
  readonly username: string;
  readonly password: string;
}
export interface FirstUser {
  /** Null when somebody else made the first user and no session of ours works. */
  readonly session: CliSession | null;
  /** Set in the one run that made the user with a password of its own, to be printed once. */
  readonly created: Credentials | null;
}

export const sessionPath = (dataDir: string): string => join(dataDir, 'cli.json');
export const credentialsPath = (dataDir: string): string => join(dataDir, 'first-user.json');

const readJson = <T>(path: string): T | null =>
  existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as T) : null;
const writeSecret = (path: string, value: unknown): void =>
  writeAtomically(path, `${JSON.stringify(value, null, 2)}\n`, 0o600);

/** The CLI's session of this data directory, when there is one. */
export const readSession = (dataDir: string): CliSession | null => readJson<CliSession>(sessionPath(dataDir));

/**
 * Makes the first user unless there is one, and a session for the CLI. Credentials come from BERTH_FIRST_USER_*, or are
 * generated and written to a private file **before** the user is made, so that a crash in between locks nobody out.
 */
export async function ensureFirstUser(config: Config, apiUrl: string): Promise<FirstUser> {
  const dataDir = config.BERTH_DATA_DIR;
  const existing = await callApi(apiUrl, '/api/v2/users/first', { expect: [200, 404] });
  let created: Credentials | null = null;
  if (existing.status === 404) {
    const credentials = firstCredentials(config);
    writeSecret(credentialsPath(dataDir), credentials);
    const { status } = await callApi(apiUrl, '/api/v2/users/first', {
      method: 'POST',
      json: credentials,
      expect: [201, 409],
    });
    if (status === 201 && config.BERTH_FIRST_USER_PASSWORD === undefined) created = credentials;
  }
  return { session: await openSession(dataDir, apiUrl), created };
}

function firstCredentials(config: Config): Credentials {
  const known = readJson<Credentials>(credentialsPath(config.BERTH_DATA_DIR));
  const username = config.BERTH_FIRST_USER_USERNAME;
  return {
    email: config.BERTH_FIRST_USER_EMAIL ?? `${username}@berth.local`,
    username,
    password: config.BERTH_FIRST_USER_PASSWORD ?? known?.password ?? randomBytes(15).toString('base64url'),
  };
}

/** The stored session while it works, else a new one with the first user's stored credentials. */
async function openSession(dataDir: string, apiUrl: string): Promise<CliSession | null> {
  const stored = readSession(dataDir);
  if (stored !== null) {
    const { status } = await callApi(apiUrl, '/api/v2/users/me', { token: stored.token, expect: [200, 401, 403] });
    if (status === 200) {
      const session = { url: apiUrl, token: stored.token };
      if (stored.url !== apiUrl) writeSecret(sessionPath(dataDir), session);
      return session;
    }
  }
  const credentials = readJson<Credentials>(credentialsPath(dataDir));
  if (credentials === null) return null;
  const { status, body } = await callApi<{ session_token: string }>(apiUrl, '/api/v2/users/login', {
    method: 'POST',
    json: { email: credentials.email, password: credentials.password },
    expect: [201, 401],
  });
  if (status !== 201) return null;
  const session = { url: apiUrl, token: body.session_token };
  writeSecret(sessionPath(dataDir), session);
  return session;
}
