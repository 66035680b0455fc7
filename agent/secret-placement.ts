import { normalize } from 'node:path';
import { isReservedEnvName } from '../domain/user-secrets.ts';
import { expandHome } from './expand.ts';
import type { ManifestSecret } from './protocol.ts';

export interface SecretFile {
  readonly path: string;
  readonly content: Buffer;
}

export interface SecretPlacement {
  readonly env: Readonly<Record<string, string>>;
  readonly files: readonly SecretFile[];
  /** Never with a value in them. */
  readonly warnings: readonly string[];
}

/**
 * Where each secret of the owner goes. The server lists them in order of their names, so of two with the same path the
 * later one wins. Source: spec/05 §3 "User secrets".
 */
export function planSecrets(secrets: readonly ManifestSecret[], home: string): SecretPlacement {
  const env: Record<string, string> = {};
  const files = new Map<string, Buffer>();
  const warnings: string[] = [];
  for (const { env_name, file_path, value_base64 } of secrets) {
    const value = Buffer.from(value_base64, 'base64');
    if (env_name !== '') {
      if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(env_name) || isReservedEnvName(env_name))
        warnings.push(`the secret's variable ${env_name} is reserved: not set`);
      else env[env_name] = value.toString('utf8');
    }
    if (file_path === '') continue;
    const path = normalize(expandHome(file_path, home));
    if (!/^(~\/|\/)/.test(file_path) || file_path.split(/[/\\]/).includes('..') || file_path.includes('\0')) {
      warnings.push(`the secret's file ${file_path.replaceAll('\0', '')} is not an allowed path: not written`);
      continue;
    }
    if (files.has(path)) warnings.push(`two secrets have the file ${path}: the one whose name sorts last is written`);
    files.set(path, value);
  }
  return { env, files: [...files].map(([path, content]) => ({ path, content })), warnings };
}
