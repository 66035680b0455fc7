import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { request } from './http.ts';

export interface GitAccess {
  readonly url: string;
  readonly token: string;
}

async function ask({ url, token }: GitAccess, path: string): Promise<Record<string, unknown> | null> {
  const answer = await request({
    method: 'GET',
    url: `${url}/api/v2/workspaceagents/me/${path}`,
    headers: { 'Coder-Session-Token': token },
    timeoutMs: 30_000,
  });
  return answer.status === 200 ? (JSON.parse(answer.text) as Record<string, unknown>) : null;
}

/** `Username for 'https://host/path': ` → what is asked and for where. */
export function parsePrompt(prompt: string): { readonly kind: 'username' | 'password'; readonly host: string } | null {
  const [, kind, address] = /^(Username|Password) for '([^']+)'/.exec(prompt) ?? [];
  if (kind === undefined || address === undefined || !URL.canParse(address)) return null;
  const { protocol, host, pathname } = new URL(address);
  return {
    kind: kind === 'Username' ? 'username' : 'password',
    host: `${protocol}//${host}${pathname === '/' ? '' : pathname}`,
  };
}

/** Git asks for a name or password: the owner's external authentication answers. Source: spec/05 §4, §17. */
export async function answerPrompt(
  prompt: string,
  access: GitAccess,
  print: { readonly out: (text: string) => void; readonly err: (text: string) => void },
): Promise<number> {
  const asked = parsePrompt(prompt);
  if (asked === null) return 1;
  const found = await ask(access, `external-auth?match=${encodeURIComponent(asked.host)}`);
  const value = found?.[asked.kind];
  if (typeof value === 'string' && value !== '') {
    print.out(`${value}\n`);
    return 0;
  }
  const url = found?.['url'];
  print.err(
    typeof url === 'string' && url !== ''
      ? `Sign in at ${url}, then try again.\n`
      : `No external authentication is set up for ${asked.host}.\n`,
  );
  return 1;
}

/** `ssh` with the owner's key; with the user's own keys when the server gives none. Source: spec/05 §4, §17. */
export async function runSsh(
  args: readonly string[],
  access: GitAccess,
  env: Readonly<Record<string, string | undefined>>,
): Promise<number> {
  const key = await ask(access, 'gitsshkey').catch(() => null);
  const directory = mkdtempSync(join(tmpdir(), 'berth-key-'));
  try {
    const identity = join(directory, 'id');
    if (typeof key?.['private_key'] === 'string') writeFileSync(identity, key['private_key'], { mode: 0o600 });
    const options = key === null ? [] : ['-i', identity];
    return await new Promise((resolve) => {
      const child = spawn('ssh', [...options, ...args], { stdio: 'inherit', env: { ...env, GIT_SSH_COMMAND: '' } });
      child.once('error', () => resolve(127));
      child.once('exit', (code) => resolve(code ?? 255));
    });
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
