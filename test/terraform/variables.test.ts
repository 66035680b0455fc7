import fc from 'fast-check';
import { describe, expect, inject, test } from 'vitest';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { HclError, parseHcl } from '../../terraform/hcl.ts';
import { objectAt } from '../../terraform/json.ts';
import { parsePlan } from '../../terraform/plan.ts';
import { findBackend, readVariables } from '../../terraform/variables.ts';
import { goldenDir, readRecorded, runTerraform, scratchDir } from './support/terraform-runs.ts';

const read = (files: Readonly<Record<string, string>>) => readVariables(new Map(Object.entries(files)));
const one = (body: string) => read({ 'main.tf': `variable "v" {\n${body}\n}\n` })[0];

describe('a variable block', () => {
  test('without attributes is a required text', () => {
    expect(read({ 'main.tf': 'variable "v" {}' })).toEqual([
      { name: 'v', description: '', type: 'string', defaultValue: null, sensitive: false },
    ]);
  });

  test.each([
    ['a text', '"a b"', 'a b'],
    ['escapes', '"tab\\tquote\\"\\u00e9 $${x} %%{y}"', 'tab\tquote"é ${x} %{y}'],
    ['a number', '1.5', '1.5'],
    ['a negative number', '-3', '-3'],
    ['a bool', 'true', 'true'],
    ['null', 'null', ''],
    ['an empty text', '""', ''],
    ['a list over lines with comments', '[\n "a", # first\n "b", // second\n /* none */\n]', '["a","b"]'],
    ['an object', '{ a = 1, "b c" : [true] \n d = null }', '{"a":1,"b c":[true],"d":null}'],
    ['an empty list', '[]', '[]'],
    ['a heredoc', '<<EOT\n  one\n\n} two\nEOT', '  one\n\n} two\n'],
    ['an indented heredoc', '<<-EOT\n    one\n      two\n    EOT', 'one\n  two\n'],
    ['an expression that is no literal, as its text', 'pow(2, 3) + 1', 'pow(2, 3) + 1'],
    ['an interpolation, as its text', '"a-${1 + 1}"', '"a-${1 + 1}"'],
    ['a comment behind', '"x" # not part of it', 'x'],
  ])('with %s as default', (_title, source, expected) => {
    expect(one(`default = ${source}`)?.defaultValue).toBe(expected);
  });

  test.each([
    ['list(string)', 'list(string)'],
    ['"string"', 'string'],
    ['map( list( number ) )', 'map(list(number))'],
    ['object({\n  a = string # comment\n  b = optional(number, 1)\n})', 'object({a = string b = optional(number, 1)})'],
    ['any', 'any'],
  ])('with the type %s', (source, expected) => expect(one(`type = ${source}`)?.type).toBe(expected));

  test('ignores nested blocks and reads what stands after them', () => {
    const variable = one(
      'validation {\n  condition = length(var.v) > 1 && can(regex("[{]", "}"))\n  error_message = "no ${var.v}"\n}\nsensitive = true\ndescription = "D"',
    );
    expect(variable).toMatchObject({ sensitive: true, description: 'D', defaultValue: null });
  });

  test('may stand on one line', () => {
    expect(read({ 'main.tf': 'variable "v" { default = "x" }\nvariable "w" { type = list(any) }' })).toMatchObject([
      { name: 'v', defaultValue: 'x' },
      { name: 'w', type: 'list(any)' },
    ]);
  });
});

test('every root file counts, module files and other files do not', () => {
  const block = (name: string) => `variable "${name}" {}`;
  const variables = read({
    'b.tf': block('b'),
    'a.tf': block('a'),
    'mods/c.tf': '',
    'd.tfvars': block('d'),
    '.hidden.tf': block('h'),
    'README.md': block('r'),
  });
  expect(variables.map((variable) => variable.name)).toEqual(['a', 'b']);
});

test('an override file changes only what it gives', () => {
  const files = {
    'override.tf': 'variable "v" {\n default = "two"\n}',
    'main.tf': 'variable "v" {\n type = string\n default = "one"\n description = "D"\n}',
  };
  expect(read(files)).toMatchObject([{ defaultValue: 'two', description: 'D', type: 'string' }]);
});

test('the JSON syntax is read, too', () => {
  const variable = {
    a: { type: 'list(string)', default: ['x'], sensitive: true },
    b: [{ description: 'B', default: 2 }],
    c: {},
  };
  expect(read({ 'v.tf.json': JSON.stringify({ variable: [variable] }) })).toEqual([
    { name: 'a', description: '', type: 'list(string)', defaultValue: '["x"]', sensitive: true },
    { name: 'b', description: 'B', type: 'string', defaultValue: '2', sensitive: false },
    { name: 'c', description: '', type: 'string', defaultValue: null, sensitive: false },
  ]);
});

test('a file that cannot be read gives nothing, the others still do', () => {
  const files = { 'broken.tf': 'variable "x" {', 'bad.tf.json': '{', 'good.tf': 'variable "v" {}' };
  expect(read(files).map((variable) => variable.name)).toEqual(['v']);
});

test('the reader finds the variables that terraform itself finds', async () => {
  const plan = parsePlan((await readRecorded('measured')).plan);
  const declared = objectAt(objectAt(objectAt(plan, 'configuration'), 'root_module'), 'variables');
  const found = read({ 'main.tf': await readFile(goldenDir('measured', 'template/main.tf'), 'utf8') });
  expect(found).toEqual([
    { name: 'region', description: 'Where the machines stand.', type: 'string', defaultValue: 'eu', sensitive: false },
    { name: 'registry_password', description: '', type: 'string', defaultValue: 'hunter2-hunter2', sensitive: true },
  ]);
  expect(Object.keys(declared).toSorted()).toEqual(found.map((variable) => variable.name));
});

describe('a backend', () => {
  const backendOf = (text: string, name = 'main.tf') => findBackend(new Map([[name, text]]));
  test.each([
    ['terraform {\n  required_version = ">= 1"\n  backend "s3" {\n    bucket = "b"\n  }\n}', 's3'],
    ['terraform {\n  backend "local" {}\n}', 'local'],
    ['terraform {\n  cloud {\n    organization = "o"\n  }\n}', 'cloud'],
    ['# terraform { backend "s3" {} }\nterraform {}', null],
    ['locals {\n  text = "backend \\"s3\\" {}"\n}', null],
    ['resource "x" "y" {\n  backend "s3" {}\n}', null],
  ])('in %j is %s', (text, expected) => expect(backendOf(text)).toBe(expected));
  test('in JSON', () => {
    expect(backendOf('{"terraform":{"backend":{"gcs":{}}}}', 'x.tf.json')).toBe('gcs');
    expect(backendOf('{"terraform":[{"cloud":{}}]}', 'x.tf.json')).toBe('cloud');
  });
  test('does not slip through in a file that our reader cannot read', () => {
    expect(backendOf('terraform {\n  backend "s3" {\n  }\n}\nx = ]')).toBe('s3');
  });
});

test('no text makes the reader fail with anything but its own error', () => {
  const token = fc.constantFrom(
    '{',
    '}',
    '[',
    ']',
    '(',
    ')',
    '"',
    '${',
    '%{',
    '<<-E\n',
    'E\n',
    '\n',
    '=',
    'a',
    '1',
    ',',
    '\\u',
    '#',
    '/*',
    '*/',
  );
  fc.assert(
    fc.property(
      fc.oneof(
        fc.array(token, { maxLength: 40 }).map((all) => all.join('')),
        fc.string(),
      ),
      (text) => {
        try {
          parseHcl(text);
        } catch (err) {
          expect(err).toBeInstanceOf(HclError);
        }
      },
    ),
    { numRuns: 2_000 },
  );
});

test('deep nesting is an error, not an overflow', () => {
  for (const text of ['a {'.repeat(10_000), `a = ${'['.repeat(100_000)}`, `a = "${'${"'.repeat(100_000)}`])
    expect(() => parseHcl(text)).toThrow(HclError);
});

describe('with the real terraform', () => {
  test('what the reader says of types and defaults is what terraform accepts back', async () => {
    const dir = await scratchDir();
    const source = [
      'variable "list" {\n  type = list(string)\n  default = ["a", "b\\"c"]\n}',
      'variable "object" {\n  type = object({ n = number, t = optional(string) })\n  default = { n = 1 }\n}',
      'variable "text" {\n  default = <<-EOT\n    $${literal}\n      two\n  EOT\n}',
      'output "all" {\n  value = jsonencode([var.list, var.object, var.text])\n}',
    ].join('\n');
    await mkdir(dir, { recursive: true });
    await writeFile(join(dir, 'main.tf'), source);
    const tools = { terraformPath: inject('terraformPath'), tfCliConfig: inject('tfCliConfig') };
    await runTerraform(tools, dir, ['init', '-input=false']);
    const outputs = async (env: Record<string, string>) => {
      const { stdout } = await runTerraform(tools, dir, ['apply', '-auto-approve', '-input=false', '-json'], env);
      return stdout
        .split('\n')
        .find((line) => line.includes('"type":"outputs"') && line.includes('"value"'))
        ?.match(/"value":".*"/)?.[0];
    };
    const asVariables = Object.fromEntries(
      read({ 'main.tf': source }).map((variable) => [`TF_VAR_${variable.name}`, variable.defaultValue ?? '']),
    );
    const plain = await outputs({});
    expect(plain).toContain('literal');
    expect(await outputs(asVariables)).toBe(plain);
    await rm(dir, { recursive: true });
  });
});
