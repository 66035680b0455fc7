import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { extract } from 'tar-stream';
import { expect, onTestFinished, test } from 'vitest';
import { packDirectory } from '../../scripts/stack/example-template.ts';
import { followLog } from '../../scripts/stack/follow-logs.ts';
import { waitFor } from '../../toolchain/process.ts';
import { temporaryDir } from './fixtures.ts';

async function namesIn(archive: Buffer): Promise<string[]> {
  const unpack = extract();
  unpack.end(archive);
  const names: string[] = [];
  for await (const entry of unpack) {
    names.push(entry.header.name);
    entry.resume();
  }
  return names;
}

test('a template directory packs to the same bytes each time, without what Terraform keeps for itself', async () => {
  const dir = temporaryDir();
  writeFileSync(join(dir, 'main.tf'), 'terraform {}');
  mkdirSync(join(dir, 'files'));
  writeFileSync(join(dir, 'files', 'b.sh'), 'b');
  writeFileSync(join(dir, 'files', 'a.sh'), 'a');
  mkdirSync(join(dir, '.terraform'));
  writeFileSync(join(dir, '.terraform', 'provider'), 'large');
  const first = await packDirectory(dir);
  expect(await namesIn(first)).toEqual(['files/a.sh', 'files/b.sh', 'main.tf']);
  await delay(1_100);
  writeFileSync(join(dir, 'main.tf'), 'terraform {}');
  expect(await packDirectory(dir)).toEqual(first);
});

test('following a log gives the new whole lines, also after it was rotated', async () => {
  const file = join(temporaryDir(), 'api.log');
  writeFileSync(file, 'before\n');
  const lines: string[] = [];
  const end = followLog(file, (line) => lines.push(line));
  onTestFinished(end);
  appendFileSync(file, 'one\ntw');
  expect(await waitFor(async () => lines.length === 1, 5_000)).toBe(true);
  appendFileSync(file, 'o\n');
  expect(await waitFor(async () => lines.length === 2, 5_000)).toBe(true);
  writeFileSync(file, 'new\n');
  expect(await waitFor(async () => lines.length === 3, 5_000)).toBe(true);
  expect(lines).toEqual(['one', 'two', 'new']);
});
