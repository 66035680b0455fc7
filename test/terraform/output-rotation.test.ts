import { appendFileSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { hold, letGoOn, outputBase, settleOutput, takeAway } from '../../terraform/output-rotation.ts';
import { processStat } from '../../terraform/process-identity.ts';
import { killRun, stdoutFile } from '../../terraform/run-directory.ts';
import { type Shims, createShims } from '../../terraform/shims.ts';
import { tailLines } from '../../terraform/tail.ts';
import { waitFor } from '../support/wait.ts';
import { type ScriptRun, jobDirectory, membersOf, pidOf, scriptCommand, startCommand } from './support/shim-runs.ts';
import { scratchDir } from './support/terraform-runs.ts';

let shims: Shims;
let dir: string;
beforeAll(() => {
  shims = createShims();
});
afterAll(() => shims.close());
beforeEach(async () => {
  dir = await scratchDir();
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const run = (script: string): ScriptRun => startCommand(shims, scriptCommand(dir, jobDirectory(dir).next(), script));

test('an output that is taken away while it is written loses and doubles no line, and stays small', async () => {
  const total = 200_000;
  const { outputDir, end } = run(
    `i=0; while [ $i -lt 200 ]; do i=$((i+1)); seq $(((i-1)*1000+1)) $((i*1000)) | awk '{print "line " $1; fflush()}'; done`,
  );
  const path = stdoutFile(outputDir);
  let stored = 0;
  const rotation = {
    atBytes: 100_000,
    hold: () => hold(outputDir),
    release: () => letGoOn(outputDir),
    stored: async () => {
      stored += 1;
      return true;
    },
  };
  let expected = 0;
  let largest = 0;
  let last = 0;
  for await (const { line, endOffset } of tailLines(path, { until: end, rotation })) {
    expected += 1;
    if (line !== `line ${expected}`) throw new Error(`${line} instead of line ${expected}`);
    if (endOffset <= last) throw new Error(`offset ${endOffset} after ${last}`);
    last = endOffset;
    if (expected % 1_000 === 0) largest = Math.max(largest, statSync(path).size);
  }
  expect(await end).toMatchObject({ exit: { code: 0 } });
  expect(expected).toBe(total);
  // How often depends on who is faster today, the writer or the reader.
  expect(stored).toBeGreaterThan(0);
  expect(outputBase(path) + statSync(path).size).toBe(last);
  expect(largest).toBeLessThan(last);
});

test('a reader that takes over goes on behind what was taken away', async () => {
  const path = join(dir, 'stdout.log');
  writeFileSync(path, 'one\ntwo\n');
  expect(takeAway(path, 8)).toBe(8);
  appendFileSync(path, 'three\n');
  const lines: [string, number][] = [];
  for await (const { line, endOffset } of tailLines(path, { until: Promise.resolve(), fromOffset: 4 }))
    lines.push([line, endOffset]);
  expect(lines).toEqual([['three', 14]]);
});

test.each([
  ['before the file was emptied', 'one\ntwo\n', ''],
  ['after it, and more was written', 'more\n', 'more\n'],
])('a worker that died while it took output away, %s, is settled by the next', async (_title, found, left) => {
  const { outputDir, end } = run('while :; do sleep 0.05; done');
  const pid = await pidOf(outputDir);
  expect(await hold(outputDir)).toBe(true);
  expect(processStat(pid)?.stopped).toBe(true);
  const path = stdoutFile(outputDir);
  writeFileSync(path, found);
  writeFileSync(`${path}.base`, JSON.stringify({ base: 8, pending: 8 }));
  settleOutput(outputDir);
  expect([readFileSync(path, 'utf8'), outputBase(path)]).toEqual([left, 8]);
  await waitFor('Terraform to go on', async () => processStat(pid)?.stopped === false);
  killRun(outputDir, 'test');
  await end;
});

test('a whole group is held, and what is over cannot be', async () => {
  const { outputDir, end } = run('sleep 60 & sleep 60 & sleep 60');
  const pid = await pidOf(outputDir);
  await waitFor('its children', async () => membersOf(pid).length >= 3);
  expect(await hold(outputDir)).toBe(true);
  expect(membersOf(pid).every((member) => processStat(member)?.stopped)).toBe(true);
  letGoOn(outputDir);
  killRun(outputDir, 'test');
  await end;
  expect(await hold(outputDir)).toBe(false);
});
