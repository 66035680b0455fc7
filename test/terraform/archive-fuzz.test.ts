import fc from 'fast-check';
import { lstat, mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { DomainError } from '../../domain/errors.ts';
import { extractTar, toTemplateTar } from '../../terraform/archive.ts';
import { type TarPart, tarOf, zipOf } from './support/archives.ts';
import { scratchDir } from './support/terraform-runs.ts';

/** Names and targets that fit together in bad ways now and then. */
const segment = fc.constantFrom('a', 'b', 'c', '..', '.', '', 'main.tf', '\\', 'é');
const path = fc.array(segment, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/') || 'x');
const part: fc.Arbitrary<TarPart> = fc.record({
  name: path,
  type: fc.constantFrom('file', 'file', 'directory', 'symlink', 'link', 'fifo', 'character-device'),
  linkname: path,
  content: fc.constantFrom('', 'x', 'y'.repeat(700)),
}) as fc.Arbitrary<TarPart>;
/** Most archives are ordinary but for one thing: else the first entry would always be the one that is refused. */
const ordinary: fc.Arbitrary<TarPart> = fc.record({
  name: fc.constantFrom('a', 'b/c', 'main.tf', 'b/d/e.tf'),
  content: fc.constantFrom('x', 'y'.repeat(700), 'z'.repeat(3000)),
});
const anyPart = fc.oneof({ weight: 3, arbitrary: ordinary }, { weight: 1, arbitrary: part });

const mutations = fc.array(
  fc.record({ at: fc.double({ min: 0, max: 1, noNaN: true }), byte: fc.integer({ min: 0, max: 255 }) }),
  { maxLength: 6 },
);
const cut = fc.option(fc.double({ min: 0, max: 1, noNaN: true }));

function mutate(archive: Buffer, changes: readonly { at: number; byte: number }[], end: number | null): Buffer {
  const copy = Buffer.from(archive);
  for (const { at, byte } of changes) copy[Math.floor(at * (copy.length - 1))] = byte;
  return end === null ? copy : copy.subarray(0, Math.floor(end * copy.length));
}

/** Everything below the directory, links not followed. */
async function entriesBelow(dir: string): Promise<string[]> {
  const found: string[] = [];
  for (const name of await readdir(dir)) {
    const child = join(dir, name);
    found.push(child);
    if ((await lstat(child)).isDirectory()) found.push(...(await entriesBelow(child)));
  }
  return found;
}

/** Accepts or refuses, never anything else, and writes nowhere but below `target`. */
async function tryArchive(bytes: Buffer, mimeType: string): Promise<void> {
  const outer = await scratchDir();
  const target = join(outer, 'one/two/target');
  await mkdir(target, { recursive: true });
  try {
    await extractTar(await toTemplateTar(bytes, mimeType), target);
  } catch (err) {
    if (!(err instanceof DomainError)) throw err;
    expect(['INVALID_INPUT', 'TOO_LARGE']).toContain(err.code);
  } finally {
    const outside = (await entriesBelow(outer)).filter((entry) => !entry.startsWith(target));
    expect(outside).toEqual([join(outer, 'one'), join(outer, 'one/two')]);
    await rm(outer, { recursive: true, force: true });
  }
}

test('300 mutated tars are accepted or refused, and nothing is written outside', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(anyPart, { maxLength: 6 }), mutations, cut, async (parts, changes, end) => {
      await tryArchive(mutate(await tarOf(...parts), changes, end), 'application/x-tar');
    }),
    { numRuns: 300 },
  );
});

test('300 mutated zips are accepted or refused, and nothing is written outside', async () => {
  const zipPart = fc.record({
    name: fc.constantFrom('a', 'a/b', 'main.tf', 'l', 'd/'),
    content: fc.constantFrom('', '..', 'a', '/etc', 'y'.repeat(700)),
    mode: fc.constantFrom(0o100644, 0o100755, 0o120777, 0o040755, 0o020644),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(zipPart, { maxLength: 5 }), mutations, cut, async (parts, changes, end) => {
      await tryArchive(mutate(await zipOf(...parts), changes, end), 'application/zip');
    }),
    { numRuns: 300 },
  );
});
