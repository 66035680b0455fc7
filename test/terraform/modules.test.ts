import { createHash } from 'node:crypto';
import { chmod, lstat, mkdir, readFile, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, inject, test } from 'vitest';
import { extractTar, packModules } from '../../terraform/archive.ts';
import { readModules } from '../../terraform/modules.ts';
import { mustRun, scratchDir } from './support/terraform-runs.ts';

let dir: string;
beforeEach(async () => {
  dir = await scratchDir();
});
afterEach(() => rm(dir, { recursive: true, force: true }));

async function put(root: string, files: Readonly<Record<string, string>>): Promise<void> {
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), content);
  }
}
const manifest = (...modules: { Key: string; Dir: string; Source?: string; Version?: string }[]) => ({
  '.terraform/modules/modules.json': JSON.stringify({
    Modules: [{ Key: '', Source: '', Dir: '.' }, ...modules.map((module) => ({ Source: 's', ...module }))],
  }),
});
const hash = (bytes: Buffer | null) =>
  createHash('sha256')
    .update(bytes ?? '')
    .digest('hex');
const remote = { Key: 'far', Dir: '.terraform/modules/far', Source: 'git::x', Version: '1.2.0' };

test('without downloaded modules there is no archive', async () => {
  expect(await packModules(dir)).toEqual({ archive: null, skipped: [] });
  await put(dir, manifest({ Key: 'near', Dir: 'mods/near' }));
  expect(await packModules(dir)).toEqual({ archive: null, skipped: [] });
});

test('a directory that only looks like the modules directory is not packed', async () => {
  await put(dir, manifest({ Key: 'evil', Dir: '.terraform/modules/../../outside' }));
  expect((await packModules(dir)).archive).toBeNull();
});

test('the archive holds the manifest and regular files, without git and links', async () => {
  await put(dir, {
    ...manifest(remote),
    '.terraform/modules/far/main.tf': 'x',
    '.terraform/modules/far/sub/run.sh': 'y',
    '.terraform/modules/far/.git/config': 'z',
  });
  await chmod(join(dir, '.terraform/modules/far/sub/run.sh'), 0o700);
  await symlink('/etc', join(dir, '.terraform/modules/far/etc'));
  const { archive } = await packModules(dir);
  const target = join(dir, 'again');
  await extractTar(archive ?? Buffer.alloc(0), target);
  expect(await readFile(join(target, '.terraform/modules/far/main.tf'), 'utf8')).toBe('x');
  expect((await lstat(join(target, '.terraform/modules/far/sub/run.sh'))).mode & 0o777).toBe(0o755);
  expect(await readModules(target)).toEqual([{ key: 'far', source: 'git::x', version: '1.2.0' }]);
  for (const missing of ['etc', '.git'])
    await expect(lstat(join(target, '.terraform/modules/far', missing))).rejects.toMatchObject({ code: 'ENOENT' });
});

test('the same content gives the same bytes, whenever and wherever it was downloaded', async () => {
  const files = { ...manifest(remote), '.terraform/modules/far/b.tf': 'b', '.terraform/modules/far/a.tf': 'a' };
  const other = join(dir, 'other');
  await put(dir, files);
  await put(other, Object.fromEntries(Object.entries(files).toReversed()));
  await utimes(join(other, '.terraform/modules/far/a.tf'), 1, 1);
  await chmod(join(other, '.terraform/modules/far/a.tf'), 0o600);
  const [one, two] = [await packModules(dir), await packModules(other)];
  expect(hash(two.archive)).toBe(hash(one.archive));
  await writeFile(join(other, '.terraform/modules/far/a.tf'), 'changed');
  expect(hash((await packModules(other)).archive)).not.toBe(hash(one.archive));
});

test('a module that does not fit into 20 MiB is left out and named, the others are kept', async () => {
  await put(dir, {
    ...manifest(remote, { Key: 'huge', Dir: '.terraform/modules/huge' }),
    '.terraform/modules/far/main.tf': 'x',
  });
  await mkdir(join(dir, '.terraform/modules/huge'));
  await writeFile(join(dir, '.terraform/modules/huge/blob'), Buffer.alloc(21 * 1024 * 1024));
  const { archive, skipped } = await packModules(dir);
  expect(skipped).toEqual(['huge']);
  expect(archive?.length).toBeLessThan(100_000);
});

describe('with the real terraform', () => {
  test('a module in the archive is not downloaded again when its origin is gone', async () => {
    const tools = { terraformPath: inject('terraformPath'), tfCliConfig: inject('tfCliConfig') };
    const origin = join(dir, 'origin');
    const first = join(dir, 'first');
    const second = join(dir, 'second');
    const source = { 'main.tf': `module "far" {\n  source = "file::${origin}//mod"\n}\n` };
    // A subdirectory of a package: what is packed is the module's own directory.
    await put(origin, { 'mod/main.tf': 'output "o" {\n  value = 1\n}\n', 'other/x.tf': '' });
    await put(first, source);
    await mustRun(tools, first, ['init', '-no-color', '-input=false', '-json']);
    const { archive } = await packModules(first);
    await rm(origin, { recursive: true });

    await put(second, source);
    await extractTar(archive ?? Buffer.alloc(0), second);
    await mustRun(tools, second, ['init', '-no-color', '-input=false', '-json']);
    await mustRun(tools, second, ['plan', '-no-color', '-input=false', '-json']);
    expect((await readModules(second)).map((module) => module.key)).toEqual(['far']);
  });
});
