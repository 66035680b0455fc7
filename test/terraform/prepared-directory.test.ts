import { cp, lstat, mkdir, readFile, readdir, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, inject, test } from 'vitest';
import {
  PreparedDamaged,
  discardPrepared,
  layOut,
  prepare,
  preparedName,
  sweepPrepared,
} from '../../terraform/prepared-directory.ts';
import { goldenDir, mustRun, scratchDir } from './support/terraform-runs.ts';

let dir: string;
let root: string;
beforeEach(async () => {
  dir = await scratchDir();
  root = join(dir, 'prepared');
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const content = {
  archiveHash: 'a',
  modulesHash: null,
  lockFile: 'l',
  terraformVersion: '1.11.4',
  cliConfig: 'mirror',
};
/** A template with a script, a link, a module, an empty directory and a provider. */
async function fill(tree: string): Promise<void> {
  await mkdir(join(tree, '.terraform/providers/p'), { recursive: true });
  await mkdir(join(tree, 'empty'));
  await writeFile(join(tree, 'main.tf'), '# main');
  await writeFile(join(tree, 'run.sh'), '#!/bin/sh\n', { mode: 0o755 });
  await writeFile(join(tree, '.terraform/providers/p/provider'), 'binary', { mode: 0o755 });
  await symlink('/mirror/provider', join(tree, '.terraform/providers/linked'));
  await symlink('main.tf', join(tree, 'link.tf'));
}
const target = async (name = 'work'): Promise<string> => {
  const path = join(dir, name);
  await mkdir(path);
  return path;
};
const drafts = async () => (await readdir(root)).filter((name) => name.startsWith('draft-') || name.endsWith('.lock'));

describe('the name of a prepared directory', () => {
  test('is that of its content, whatever it was made from', () => {
    expect(preparedName({ ...content })).toBe(preparedName(content));
    for (const change of [
      { archiveHash: 'b' },
      { modulesHash: 'm' },
      { lockFile: 'k' },
      { terraformVersion: '1.12.0' },
      { cliConfig: 'direct' },
    ])
      expect(preparedName({ ...content, ...change })).not.toBe(preparedName(content));
  });
});

describe('a prepared directory', () => {
  test('is laid out as it was made: files, modes, links, empty directories', async () => {
    const work = await target();
    await layOut(await prepare(root, 'one', fill), work);
    expect((await readdir(work, { recursive: true })).toSorted()).toEqual(
      [
        '.terraform',
        '.terraform/providers',
        '.terraform/providers/linked',
        '.terraform/providers/p',
        '.terraform/providers/p/provider',
        'empty',
        'link.tf',
        'main.tf',
        'run.sh',
      ].toSorted(),
    );
    expect((await stat(join(work, 'run.sh'))).mode & 0o777).toBe(0o755);
    expect((await lstat(join(work, 'link.tf'))).isSymbolicLink()).toBe(true);
    expect(await drafts()).toEqual([]);
  });

  test('stays as it is whatever a build does in its copy, and a build keeps its provider when it is removed', async () => {
    const prepared = await prepare(root, 'one', fill);
    const work = await target();
    await layOut(prepared, work);
    await writeFile(join(work, 'main.tf'), '# changed');
    await rm(join(work, 'run.sh'));
    const second = await target('second');
    await layOut(prepared, second);
    expect(await readFile(join(second, 'main.tf'), 'utf8')).toBe('# main');
    await discardPrepared(root, 'one');
    expect(await readFile(join(work, '.terraform/providers/p/provider'), 'utf8')).toBe('binary');
  });

  test('is made once for many that ask at the same time', async () => {
    let made = 0;
    const waited: number[] = [];
    const make = async (tree: string) => {
      made += 1;
      await new Promise((done) => setTimeout(done, 100));
      await fill(tree);
    };
    const asked = Array.from({ length: 8 }, (_, i) => prepare(root, 'one', make, () => waited.push(i)));
    expect(new Set(await Promise.all(asked)).size).toBe(1);
    expect([made, waited.length]).toEqual([1, 7]);
  });

  test('that could not be made leaves nothing, and the next one tries again', async () => {
    const failing = prepare(root, 'one', async (tree) => {
      await writeFile(join(tree, 'half'), 'x');
      throw new Error('init failed');
    });
    await expect(failing).rejects.toThrow('init failed');
    expect(await readdir(root)).toEqual([]);
    await prepare(root, 'one', fill);
  });

  test.each([
    ['a file is missing', (tree: string) => rm(join(tree, 'main.tf'))],
    ['a file was cut off by a full disk or a crash', (tree: string) => writeFile(join(tree, 'main.tf'), '')],
    ['its manifest is missing', (tree: string) => rm(join(tree, '../manifest.json'))],
  ])('is never used when %s', async (_title, damage) => {
    const prepared = await prepare(root, 'one', fill);
    await damage(join(prepared, 'tree'));
    await expect(layOut(prepared, await target())).rejects.toThrow(PreparedDamaged);
    await discardPrepared(root, 'one');
    await layOut(await prepare(root, 'one', fill), await target('again'));
  });

  test('goes when it was not used for long or many others were used since; drafts of the dead go too', async () => {
    const now = Date.now();
    for (const [name, ageMs] of [
      ['new', 0],
      ['used', 1_000],
      ['third', 2_000],
      ['old', 100_000],
    ] as const) {
      const at = new Date(now - ageMs);
      await utimes(join(await prepare(root, name, fill), 'manifest.json'), at, at);
    }
    await mkdir(join(root, 'draft-of-the-dead'));
    const long = new Date(now - 2 * 3_600_000);
    await utimes(join(root, 'draft-of-the-dead'), long, long);
    await mkdir(join(root, 'draft-at-work'));
    expect(await sweepPrepared(root, { now, unusedMs: 50_000, keep: 2 })).toBe(2);
    expect((await readdir(root)).toSorted()).toEqual(['draft-at-work', 'new', 'used']);
    expect(await sweepPrepared(join(dir, 'missing'), { now, unusedMs: 1, keep: 1 })).toBe(0);
  });
});

test('Terraform applies eight copies of one prepared directory at once, without init', async () => {
  const tools = { terraformPath: inject('terraformPath'), tfCliConfig: inject('tfCliConfig') };
  const prepared = await prepare(root, 'one', async (tree) => {
    await cp(goldenDir('measured', 'template'), tree, { recursive: true });
    await mustRun(tools, tree, ['init', '-input=false']);
  });
  const states = await Promise.all(
    Array.from({ length: 8 }, async (_, i) => {
      const work = await target(`work-${i}`);
      await layOut(prepared, work);
      await mustRun(tools, work, ['apply', '-input=false', '-auto-approve', '-json']);
      return JSON.parse(await readFile(join(work, 'terraform.tfstate'), 'utf8')) as { resources: unknown[] };
    }),
  );
  expect(new Set(states.map(({ resources }) => resources.length)).size).toBe(1);
  expect(await readdir(join(prepared, 'tree'))).not.toContain('terraform.tfstate');
});
