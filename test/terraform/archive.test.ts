import { lstat, mkdir, readFile, readlink, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { DomainError } from '../../domain/errors.ts';
import { extractTar, extractTemplate, listTemplateFiles, tarToZip, toTemplateTar } from '../../terraform/archive.ts';
import { renamed, tarOf, zipOf } from './support/archives.ts';
import { scratchDir } from './support/terraform-runs.ts';

const tarType = 'application/x-tar';
const zipType = 'application/zip';
let dir: string;
beforeEach(async () => {
  dir = await scratchDir();
});
afterEach(() => rm(dir, { recursive: true, force: true }));

async function refusal(archive: Promise<Buffer> | Buffer, mimeType = tarType): Promise<string> {
  try {
    await toTemplateTar(await archive, mimeType);
  } catch (err) {
    if (err instanceof DomainError && err.code === 'INVALID_INPUT') return err.message;
    throw err;
  }
  throw new Error('the archive was accepted');
}

describe('a tar', () => {
  test('is stored as it was sent', async () => {
    const tar = await tarOf({ name: 'mods/', type: 'directory' }, { name: 'main.tf', content: 'x' });
    expect((await toTemplateTar(tar, 'application/x-tar; charset=binary')).equals(tar)).toBe(true);
  });

  test.each([
    ['an absolute path', { name: '/etc/passwd', content: 'x' }, /"\/etc\/passwd" has an absolute path/],
    ['a path of another system', { name: 'C:\\x', content: 'x' }, /absolute path/],
    ['a path that climbs', { name: 'a/../../x', content: 'x' }, /"\.\." in its path/],
    ['a path that climbs with backslashes', { name: 'a\\..\\..\\x', content: 'x' }, /"\.\." in its path/],
    ['a path that is too long', { name: `${'d'.repeat(300)}/x`, content: 'x' }, /too long/],
    ['a character device', { name: 'dev', type: 'character-device' }, /"dev" is a character-device/],
    ['a block device', { name: 'dev', type: 'block-device' }, /block-device/],
    ['a named pipe', { name: 'pipe', type: 'fifo' }, /fifo/],
    ['an absolute link', { name: 'l', type: 'symlink', linkname: '/etc' }, /"l" links out/],
    ['a link that climbs out', { name: 'a/l', type: 'symlink', linkname: '../../x' }, /links out/],
    ['a link that climbs in the middle', { name: 'l', type: 'symlink', linkname: 'a/../../x' }, /links out/],
    ['a hard link to nothing in it', { name: 'l', type: 'link', linkname: 'nothing' }, /no earlier file/],
    ['a hard link out of it', { name: 'l', type: 'link', linkname: '../x' }, /"\.\." in its path/],
  ] as const)('with %s is refused', async (_title, part, text) => {
    expect(await refusal(tarOf({ name: 'main.tf', content: '' }, part))).toMatch(text);
  });

  test('may not write through a link, not even to where the link stays inside', async () => {
    const link = { name: 'l', type: 'symlink', linkname: 'd' } as const;
    expect(await refusal(tarOf({ name: 'd/', type: 'directory' }, link, { name: 'l/x', content: 'x' }))).toMatch(
      /appears twice/,
    );
    expect(await refusal(tarOf({ name: 'l/x', content: 'x' }, link))).toMatch(/appears twice/);
    expect(await refusal(tarOf(link, { ...link, linkname: '.' }))).toMatch(/appears twice/);
  });

  test('may not reach out by links that are harmless alone', async () => {
    const steps = tarOf(
      { name: 'a/b/', type: 'directory' },
      { name: 'a/b/up', type: 'symlink', linkname: '..' },
      { name: 'out', type: 'symlink', linkname: 'a/b/up/../..' },
    );
    expect(await refusal(steps)).toMatch(/"out" links out/);
  });

  test.each([
    ['empty', Buffer.alloc(0)],
    ['text', Buffer.from('not a tar at all'.repeat(100))],
    ['zeros that end in the middle', Buffer.alloc(700, 1)],
  ])('of %s is refused as unreadable', async (_title, bytes) => {
    expect(await refusal(bytes)).toMatch(/cannot be read/);
  });

  test('that is cut off is refused', async () => {
    const tar = await tarOf({ name: 'main.tf', content: 'x'.repeat(2000) });
    expect(await refusal(tar.subarray(0, 1500))).toMatch(/cannot be read/);
  });

  test('whose entries say they are larger than 100 MiB is refused before anything is read', async () => {
    const header = (await tarOf({ name: 'big', size: 0, content: '' })).subarray(0, 512);
    const forged = Buffer.from(header);
    forged.write('07777777777\0', 124, 'latin1');
    forged.fill(' ', 148, 156);
    forged.write(
      `${forged
        .reduce((sum, byte) => sum + byte, 0)
        .toString(8)
        .padStart(6, '0')}\0 `,
      148,
      'latin1',
    );
    expect(await refusal(forged)).toMatch(/larger than 100 MiB/);
  });

  test('larger than 100 MiB is too large', async () => {
    await expect(toTemplateTar(Buffer.alloc(100 * 1024 * 1024 + 1), tarType)).rejects.toMatchObject({
      code: 'TOO_LARGE',
    });
  });

  test('of another type is refused', async () => {
    expect(await refusal(tarOf({ name: 'a', content: 'x' }), 'application/gzip')).toMatch(/application\/x-tar/);
  });
});

describe('a zip', () => {
  test('becomes a tar with the same files', async () => {
    const zip = await zipOf(
      { name: 'main.tf', content: 'terraform {}' },
      { name: 'mods/' },
      { name: 'mods/run.sh', content: '#!/bin/sh', mode: 0o100755 },
      { name: 'link', content: 'mods/run.sh', mode: 0o120777 },
    );
    for (const type of [zipType, 'application/x-zip-compressed']) {
      await extractTar(await toTemplateTar(zip, type), dir);
      expect(await readFile(join(dir, 'main.tf'), 'utf8')).toBe('terraform {}');
      expect((await lstat(join(dir, 'mods/run.sh'))).mode & 0o777).toBe(0o755);
      expect(await readlink(join(dir, 'link'))).toBe('mods/run.sh');
    }
  });

  test('gives the same tar each time', async () => {
    const zip = await zipOf({ name: 'b.tf', content: 'b' }, { name: 'a.tf', content: 'a' });
    expect((await toTemplateTar(zip, zipType)).equals(await toTemplateTar(zip, zipType))).toBe(true);
  });

  test.each([
    ['climbs', 'aa/bb/evil', '../../evil'],
    ['is absolute', 'xetc/evil', '/etc/evilx'.slice(0, 9)],
  ])('with a path that %s is refused', async (_title, from, to) => {
    expect(await refusal(renamed(await zipOf({ name: from, content: 'x' }), from, to), zipType)).toMatch(
      /archive cannot be/,
    );
  });

  test.each([
    ['a link that leaves the tree', { name: 'l', content: '../../etc/passwd', mode: 0o120777 }, /links out/],
    ['a link whose target is no path', { name: 'l', content: 'x'.repeat(5000), mode: 0o120777 }, /bad target/],
    ['a device', { name: 'd', content: '', mode: 0o020644 }, /character-device/],
  ])('with %s is refused', async (_title, part, text) => {
    expect(await refusal(zipOf(part), zipType)).toMatch(text);
  });

  test('bomb is refused by what its directory says, without inflating it', async () => {
    const bomb = await zipOf({ name: 'zeros', content: Buffer.alloc(101 * 1024 * 1024) });
    expect(bomb.length).toBeLessThan(200_000);
    expect(await refusal(bomb, zipType)).toMatch(/"zeros" makes it larger than 100 MiB/);
  });

  test('bomb of many entries that are small each is refused, too', async () => {
    const content = Buffer.alloc(11 * 1024 * 1024);
    const parts = Array.from({ length: 10 }, (_, i) => ({ name: `zeros-${i}`, content }));
    expect(await refusal(zipOf(...parts), zipType)).toMatch(/"zeros-9" makes it larger/);
  });

  test('whose directory lies about a size is refused', async () => {
    const zip = Buffer.from(await zipOf({ name: 'zeros', content: Buffer.alloc(5000) }));
    const directory = zip.indexOf('PK\x01\x02', 0, 'latin1');
    zip.writeUInt32LE(50, directory + 24);
    expect(await refusal(zip, zipType)).toMatch(/cannot be read/);
  });

  test('that is none is refused', async () => {
    expect(await refusal(Buffer.from('PK nonsense'), zipType)).toMatch(/cannot be read/);
  });
});

describe('unpacking', () => {
  test('keeps content, directories, links inside the tree and no mode beyond 0755', async () => {
    const tar = await tarOf(
      { name: './', type: 'directory' },
      { name: './a/', type: 'directory', mode: 0o777 },
      { name: './a/run.sh', mode: 0o6777, content: 'run' },
      { name: 'plain', mode: 0o666, content: 'plain' },
      { name: 'secret', mode: 0o000, content: 'readable afterwards' },
      { name: 'a/back', type: 'symlink', linkname: '../plain' },
      { name: 'copy', type: 'link', linkname: 'plain' },
    );
    await extractTar(await toTemplateTar(tar, tarType), dir);
    const modeOf = async (path: string) => (await lstat(join(dir, path))).mode & 0o7777;
    expect(await modeOf('a/run.sh')).toBe(0o755);
    expect(await modeOf('plain')).toBe(0o644);
    expect(await readFile(join(dir, 'secret'), 'utf8')).toBe('readable afterwards');
    expect(await readFile(join(dir, 'a/back'), 'utf8')).toBe('plain');
    expect((await lstat(join(dir, 'copy'))).isSymbolicLink()).toBe(false);
    expect(await readFile(join(dir, 'copy'), 'utf8')).toBe('plain');
  });

  test('twice gives the same', async () => {
    const tar = await tarOf(
      { name: 'f', content: 'one' },
      { name: 'l', type: 'symlink', linkname: 'f' },
      { name: 'h', type: 'link', linkname: 'f' },
    );
    await extractTar(tar, dir);
    await extractTar(tar, dir);
    expect(await readFile(join(dir, 'l'), 'utf8')).toBe('one');
  });

  test('checks again what the database gave', async () => {
    await expect(extractTar(await tarOf({ name: '../x', content: 'x' }), dir)).rejects.toMatchObject({
      code: 'INVALID_INPUT',
    });
  });

  test('never writes through a link that was there before', async () => {
    const outside = await scratchDir();
    await writeFile(join(outside, 'victim'), 'untouched');
    await symlink(join(outside, 'victim'), join(dir, 'main.tf'));
    await expect(extractTar(await tarOf({ name: 'main.tf', content: 'x' }), dir)).rejects.toBeInstanceOf(DomainError);
    expect(await readFile(join(outside, 'victim'), 'utf8')).toBe('untouched');
    await rm(outside, { recursive: true });
  });

  test("leaves out of a template what an author's working directory left in it", async () => {
    const names = [
      '.terraform/providers/x',
      'terraform.tfstate',
      'terraform.tfstate.backup',
      '.terraform.tfstate.lock.info',
    ];
    const kept = ['.terraform.lock.hcl', 'main.tf', 'mods/terraform.tfstate', 'a.tfvars'];
    await extractTemplate(await tarOf(...[...names, ...kept].map((name) => ({ name, content: 'x' }))), dir);
    for (const name of names) await expect(lstat(join(dir, name))).rejects.toMatchObject({ code: 'ENOENT' });
    for (const name of kept) expect(await readFile(join(dir, name), 'utf8')).toBe('x');
  });

  test('may go over a source that is already there, as cached modules do', async () => {
    await mkdir(join(dir, '.terraform/modules'), { recursive: true });
    await extractTar(await tarOf({ name: '.terraform/modules/m/main.tf', content: 'x' }), dir);
    expect(await readFile(join(dir, '.terraform/modules/m/main.tf'), 'utf8')).toBe('x');
  });
});

test('a tar becomes a zip and back without loss', async () => {
  const tar = await tarOf(
    { name: 'a/', type: 'directory' },
    { name: 'a/run.sh', mode: 0o755, content: 'run' },
    { name: 'l', type: 'symlink', linkname: 'a/run.sh' },
    { name: 'h', type: 'link', linkname: 'a/run.sh' },
  );
  await extractTar(await toTemplateTar(await tarToZip(tar), zipType), dir);
  expect((await lstat(join(dir, 'a/run.sh'))).mode & 0o777).toBe(0o755);
  expect(await readlink(join(dir, 'l'))).toBe('a/run.sh');
  expect(await readFile(join(dir, 'h'), 'utf8')).toBe('run');
});

test('the files that are read without terraform are those of the root module', async () => {
  const tar = await tarOf(
    ...[
      './main.tf',
      'b.tf.json',
      'ReadMe.MD',
      '.terraform.lock.hcl',
      'mods/c.tf',
      '.hidden.tf',
      'x.tfvars',
      'README',
    ].map((name) => ({ name, content: name })),
  );
  expect([...(await listTemplateFiles(tar)).keys()]).toEqual([
    'main.tf',
    'b.tf.json',
    'ReadMe.MD',
    '.terraform.lock.hcl',
  ]);
});
