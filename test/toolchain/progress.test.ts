import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { SetupFailure, describeFailure } from '../../toolchain/failure.ts';
import { createProgress } from '../../toolchain/progress.ts';

test('piped output is plain lines: one per step with its result', async () => {
  const output: string[] = [];
  const progress = createProgress({ write: (text) => output.push(text), interactive: false });
  const value = await progress.step(
    'count',
    async () => 3,
    (n) => `${n} found`,
  );
  await progress.step('quiet', async () => undefined);
  progress.note('a note');
  expect(value).toBe(3);
  expect(output).toEqual(['✔ count: 3 found\n', '✔ quiet\n', '  a note\n']);
});

test('a long step reminds that it goes on and what it is at', async () => {
  const output: string[] = [];
  const progress = createProgress({ write: (text) => output.push(text), interactive: false, reminderMs: 20 });
  await progress.step('build', async (step) => {
    step.update('compiling');
    await delay(70);
  });
  expect(output[0]).toBe('… build: compiling\n');
});

test('a failing step is marked and its error passes through', async () => {
  const output: string[] = [];
  const progress = createProgress({ write: (text) => output.push(text), interactive: false });
  const failing = progress.step('break', () => Promise.reject(new SetupFailure('it broke', 'mend it')));
  await expect(failing).rejects.toThrow('it broke');
  expect(output).toEqual(['✖ break\n']);
});

test('on a terminal the line is redrawn and erased before anything else is written', async () => {
  const output: string[] = [];
  const progress = createProgress({ write: (text) => output.push(text), interactive: true });
  await progress.step('outer', async () => {
    await progress.step('inner', async (step) => step.update('now'));
  });
  expect(output.some((text) => text.includes('inner: now'))).toBe(true);
  for (const text of output) expect(text.startsWith('\r\u001B[2K')).toBe(true);
  expect(output.at(-1)).toBe('\r\u001B[2K✔ outer\n');
});

test('an expected failure reads as what happened and what to do, an unknown one keeps its stack', () => {
  expect(describeFailure(new SetupFailure('it broke', 'mend it'))).toBe('it broke\n  fix: mend it');
  expect(describeFailure(new Error('surprise'))).toContain('progress.test.ts');
  expect(describeFailure('text')).toBe('text');
});
