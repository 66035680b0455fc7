import { describe, expect, test } from 'vitest';
import {
  agentLimits,
  characters,
  maxManifestBytes,
  numberProblem,
  orUnstated,
  textProblem,
} from '../../domain/agent-limits.ts';
import { secretLimits } from '../../domain/user-secrets.ts';

describe('A limit', () => {
  test('of characters counts as PostgreSQL does, one of bytes counts UTF-8', () => {
    expect(textProblem(characters(3), '😀😀😀')).toBeUndefined();
    expect(textProblem(characters(3), '😀😀😀😀')).toBe('must be at most 3 characters long');
    expect(textProblem(characters(3), 'x'.repeat(7))).toBe('must be at most 3 characters long');
    expect(textProblem({ kind: 'bytes', max: 4 }, 'éé')).toBeUndefined();
    expect(textProblem({ kind: 'bytes', max: 4 }, 'ééx')).toBe('must be at most 4 bytes long');
  });

  test('of a number takes both ends, and whole ones only', () => {
    const limit = { kind: 'range', min: 1, max: 100 } as const;
    expect([0, 1, 100, 101, 1.5, Number.NaN].map((value) => numberProblem(limit, value) === undefined)).toEqual([
      false,
      true,
      true,
      false,
      false,
      false,
    ]);
    expect(numberProblem(orUnstated(limit), 0)).toBeUndefined();
    expect(numberProblem({ kind: 'count', max: 50 }, 51)).toBe('may be at most 50 per agent');
  });
});

test('what templates leave of the manifest holds all secrets that a user may have', () => {
  const { secretsPerUser, bytesPerUser, envNameBytes, filePathBytes } = secretLimits;
  const frame = '{"env_name":"","file_path":"","value_base64":""},'.length + '=='.length;
  const secrets = Math.ceil((bytesPerUser * 4) / 3) + secretsPerUser * (envNameBytes + filePathBytes + frame);
  expect(agentLimits.manifestOfTemplate.max + secrets + 65_536).toBeLessThan(maxManifestBytes);
});
