import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { listTemplateFiles } from '../../terraform/archive.ts';
import { examplesDirectory, listExamples, packExample, readFrontMatter } from '../../terraform/examples.ts';
import { syntaxProblems } from '../../terraform/source-syntax.ts';
import { readTagDefaults } from '../../terraform/source-tags.ts';

describe('the source of a template', () => {
  test('is refused by file where no Terraform could read it, and only there', () => {
    const files = new Map([
      ['b.tf', 'resource "a" "b" {'],
      ['a.tf.json', '{,}'],
      ['c.tf', 'locals { x = "${upper("a")}" }\n'],
      ['README.md', '# { "'],
    ]);
    expect(syntaxProblems(files).map(({ field }) => field)).toEqual(['a.tf.json', 'b.tf']);
    expect(syntaxProblems(new Map([['x.tf', 'locals {}\n\nlocals { a = "b\n}\n']]))).toEqual([
      { field: 'x.tf', detail: 'line 3: a string is not closed' },
    ]);
  });

  test('tags its import with what is known before a plan', () => {
    const text = `
      variable "zone" { default = "a" }
      variable "asked" {}
      data "coder_parameter" "tier" {
        name    = "tier"
        default = 3
      }
      data "coder_workspace_tags" "t" {
        tags = {
          plain   = "text, with comma"
          "quoted key" = true
          zone    = var.zone
          asked   = var.asked
          tier    = data.coder_parameter.tier.value
          mixed   = "z-\${var.zone}-\${data.coder_parameter.tier.value}"
          func    = lower("ABC")
          escaped = "a\\"b"
          unknown = var.missing
        }
      }`;
    const files = new Map([
      ['main.tf', text],
      ['broken.tf', '{{{'],
    ]);
    expect(readTagDefaults(files, new Map([['asked', 'given']]))).toEqual({
      plain: 'text, with comma',
      'quoted key': 'true',
      zone: 'a',
      asked: 'given',
      tier: '3',
      mixed: 'z-a-3',
      escaped: 'a"b',
    });
    expect(readTagDefaults(new Map(), new Map())).toEqual({});
  });
});

describe('examples', () => {
  const root = mkdtempSync(join(tmpdir(), 'berth-examples-'));
  const folder = join(root, 'examples', 'templates');
  mkdirSync(join(folder, 'one', 'sub', '.terraform'), { recursive: true });
  mkdirSync(join(folder, 'empty'), { recursive: true });
  mkdirSync(join(root, 'dist', 'terraform'), { recursive: true });
  writeFileSync(
    join(folder, 'one', 'README.md'),
    '---\ndisplay_name: "The One"\ndescription: It works\nicon: /i.svg\ntags:\n  - a\n  - "b c"\n---\n\n# Title\n',
  );
  writeFileSync(join(folder, 'one', 'main.tf'), 'locals {}\n');
  writeFileSync(join(folder, 'one', 'terraform.tfstate'), '{}');
  writeFileSync(join(folder, 'one', 'sub', 'run.sh'), 'echo\n', { mode: 0o755 });
  writeFileSync(join(folder, 'one', 'sub', '.terraform', 'junk'), 'x');
  afterAll(() => rmSync(root, { recursive: true }));

  test('are found beside the sources and from a built copy of them', () => {
    expect(examplesDirectory(join(root, 'dist', 'terraform'))).toBe(folder);
    expect(examplesDirectory(root)).toBe(folder);
    expect(examplesDirectory()).toMatch(/examples\/templates$/);
  });

  test('take their words from the front matter; a folder without Terraform is none', async () => {
    expect(await listExamples(folder)).toEqual([
      {
        id: 'one',
        name: 'The One',
        description: 'It works',
        icon: '/i.svg',
        tags: ['a', 'b c'],
        markdown: '# Title\n',
      },
    ]);
    expect(await listExamples(undefined)).not.toHaveLength(0);
  });

  test('are packed the same each time, without what a run left behind', async () => {
    const first = await packExample('one', folder);
    expect(first?.equals((await packExample('one', folder))!)).toBe(true);
    expect([...(await listTemplateFiles(first!)).keys()].toSorted()).toEqual(['README.md', 'main.tf']);
    expect(first!.toString()).toContain('sub/run.sh');
    expect(first!.toString()).not.toContain('tfstate');
    expect(first!.toString()).not.toContain('junk');
    expect(await packExample('../one', folder)).toBeUndefined();
    expect(await packExample('empty', folder)).toBeUndefined();
  });

  test('without front matter are named by their title', () => {
    expect(readFrontMatter('# Just text\n')).toEqual({ fields: new Map(), markdown: '# Just text\n' });
    expect(readFrontMatter('---\ntags: [x, "y"]\n---\nBody').fields.get('tags')).toEqual(['x', 'y']);
  });
});
