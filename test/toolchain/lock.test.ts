import { existsSync, mkdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { tryLock, withLock, writeAtomically } from '../../toolchain/lock.ts';
import { identify } from '../../toolchain/process.ts';
import { temporaryDir } from './fixtures.ts';

test('only one of many gets the lock, and the next one after its release', async () => {
  const path = join(temporaryDir(), 'lock');
  let inside = 0;
  let most = 0;
  await Promise.all(
    Array.from({ length: 5 }, () =>
      withLock(path, async () => {
        inside += 1;
        most = Math.max(most, inside);
        await delay(5);
        inside -= 1;
      }),
    ),
  );
  expect(most).toBe(1);
  expect(existsSync(path)).toBe(false);
});

test('the lock of a dead process is taken over, by exactly one', async () => {
  const path = join(temporaryDir(), 'lock');
  writeFileSync(path, JSON.stringify({ pid: process.pid, start: 'of another process with this number' }));
  const attempts = await Promise.all(Array.from({ length: 8 }, () => tryLock(path)));
  expect(attempts.filter(({ kind }) => kind === 'held')).toHaveLength(1);
});

test('an unreadable lock, or a guard that was left behind, holds nobody up for long', async () => {
  const path = join(temporaryDir(), 'lock');
  writeFileSync(path, 'not json');
  mkdirSync(`${path}.stale`);
  utimesSync(`${path}.stale`, new Date(0), new Date(0));
  expect((await tryLock(path)).kind).toBe('held');
});

test('whoever finds it taken learns by whom', async () => {
  const path = join(temporaryDir(), 'lock');
  await tryLock(path);
  expect(await tryLock(path)).toEqual({ kind: 'taken', by: await identify(process.pid) });
});

test('the lock is released when the work fails', async () => {
  const path = join(temporaryDir(), 'lock');
  await expect(withLock(path, () => Promise.reject(new Error('no')))).rejects.toThrow('no');
  expect(existsSync(path)).toBe(false);
});

test('a file is replaced whole and keeps its mode', () => {
  const path = join(temporaryDir(), 'deep', 'file');
  writeAtomically(path, 'one', 0o600);
  writeAtomically(path, 'two', 0o600);
  expect(readFileSync(path, 'utf8')).toBe('two');
});
