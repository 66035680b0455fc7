import { mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { extract } from 'tar-stream';
import { expect, onTestFinished, test } from 'vitest';
import { nameOfDirectory, packTemplate, readFrontMatter } from '../../cli/pack-template.ts';
import { createIgnore } from '../../cli/terraform-ignore.ts';

function folder(files: Readonly<Record<string, string>>): string {
  const root = mkdtempSync(join(tmpdir(), 'berth-pack-'));
  onTestFinished(() => rmSync(root, { recursive: true, force: true }));
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), text);
  }
  return root;
}

test('plugins, states and ignored files stay at home; the lock file and everything else goes along', async () => {
  const root = folder({
    'main.tf': '',
    'modules/a/main.tf': '',
    '.terraform.lock.hcl': '',
    '.terraform/providers/x': 'large',
    'modules/a/.terraform/x': '',
    'terraform.tfstate': 'secret',
    'terraform.tfstate.backup': 'secret',
    'old.tfstate.1700000000.backup': 'secret',
    'x.tfplan': 'secret',
    '.git/HEAD': '',
    'notes/todo.txt': '',
    'notes/keep.txt': '',
    '.terraformignore': '# mine\nnotes/*\n!notes/keep.txt\n',
  });
  const { files } = await packTemplate(root);
  expect(files).toEqual(['.terraform.lock.hcl', '.terraformignore', 'main.tf', 'modules/a/main.tf', 'notes/keep.txt']);
});

test('the same files give the same bytes whenever they were written', async () => {
  const root = folder({ 'main.tf': 'a', 'b.txt': 'b' });
  const first = await packTemplate(root);
  utimesSync(join(root, 'main.tf'), 1, 1);
  expect((await packTemplate(root)).bytes.equals(first.bytes)).toBe(true);
});

test('a link stays a link', async () => {
  const root = folder({ 'main.tf': 'a' });
  symlinkSync('main.tf', join(root, 'other.tf'));
  const { bytes } = await packTemplate(root);
  const unpack = extract();
  unpack.end(bytes);
  const links: [string, unknown][] = [];
  for await (const entry of unpack) {
    if (entry.header.type === 'symlink') links.push([entry.header.name, entry.header.linkname]);
    entry.resume();
  }
  expect(links).toEqual([['other.tf', 'main.tf']]);
});

test('what is no template is refused with the reason', async () => {
  await expect(packTemplate('/does/not/exist')).rejects.toMatchObject({ exitCode: 2 });
  await expect(packTemplate(folder({ 'README.md': '', 'sub/main.tf': '' }))).rejects.toMatchObject({ exitCode: 2 });
});

test.each([
  ['*.log', 'a/b.log', false, true],
  ['/a.txt', 'a.txt', false, true],
  ['/a.txt', 'b/a.txt', false, false],
  ['a/*.txt', 'a/x.txt', false, true],
  ['a/*.txt', 'a/b/x.txt', false, false],
  ['a/**', 'a/b/x.txt', false, true],
  ['**/x.txt', 'a/b/x.txt', false, true],
  ['**/x.txt', 'x.txt', false, true],
  ['build/', 'build', true, true],
  ['build/', 'build', false, false],
  ['a?c', 'abc', false, true],
  ['a.c', 'abc', false, false],
  ['', '.git', true, true],
  ['!.git/', '.git', true, false],
])('rule %s on %s (folder: %s) ignores: %s', (rule, path, isFolder, ignored) => {
  expect(createIgnore(rule)(path, isFolder)).toBe(ignored);
});

test('names and descriptions come from the directory and its README', () => {
  expect(nameOfDirectory('/x/My Template_v2!')).toBe('My-Template-v2');
  const root = folder({
    'README.md': '---\ndisplay_name: "Mine"\ndescription: It\'s: good\ntags: [a]\n---\nicon: no\n',
  });
  expect(readFrontMatter(root)).toEqual({ displayName: 'Mine', description: "It's: good" });
  expect(readFrontMatter(folder({}))).toEqual({});
});
