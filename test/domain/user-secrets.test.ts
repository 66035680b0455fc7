import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DomainError } from '../../domain/errors.ts';
import { type SecretFileFormat, parseSecretFile } from '../../domain/secret-files.ts';
import {
  type SecretFields,
  isReservedEnvName,
  normalizeSecretPath,
  secretConflicts,
  secretProblems,
  targetProblems,
} from '../../domain/user-secrets.ts';

const fieldsOf = (secret: Partial<SecretFields>) => secretProblems(secret).map(({ field }) => field);
const times = (text: string, count: number) => text.repeat(count);

describe('a secret', () => {
  test.each([
    ['name', { name: 'a' }, true],
    ['name', { name: '' }, false],
    ['name', { name: times('a', 256) }, true],
    ['name', { name: times('a', 257) }, false],
    ['name', { name: times('é', 128) }, true],
    ['name', { name: `${times('é', 128)}a` }, false],
    ['name', { name: 'with space inside' }, true],
    ['name', { name: ' a' }, false],
    ['name', { name: 'a\n' }, false],
    ['name', { name: 'a/b' }, false],
    ['name', { name: 'a?b' }, false],
    ['name', { name: 'a#b' }, false],
    ['name', { name: 'a%2Fb' }, true],
    ['name', { name: '..' }, false],
    ['name', { name: '.' }, false],
    ['name', { name: '...' }, true],
    ['name', { name: 'a\0b' }, false],
    ['name', { name: 'a\uD800b' }, false],
    ['value', { value: '' }, false],
    ['value', { value: ' ' }, true],
    ['value', { value: times('v', 24_576) }, true],
    ['value', { value: times('v', 24_577) }, false],
    ['value', { value: times('é', 12_288) }, true],
    ['value', { value: times('é', 12_289) }, false],
    ['value', { value: 'a\0' }, false],
    ['value', { value: '\uDC00' }, false],
    ['value', { value: '😀' }, true],
    ['description', { description: '' }, true],
    ['description', { description: times('d', 1_024) }, true],
    ['description', { description: times('d', 1_025) }, false],
    ['description', { description: '\0' }, false],
    ['env_name', { envName: '' }, true],
    ['env_name', { envName: '_' }, true],
    ['env_name', { envName: 'lower_9' }, true],
    ['env_name', { envName: '9A' }, false],
    ['env_name', { envName: 'A-B' }, false],
    ['env_name', { envName: 'A\n' }, false],
    ['env_name', { envName: 'Ä' }, false],
    ['env_name', { envName: times('A', 256) }, true],
    ['env_name', { envName: times('A', 257) }, false],
    ['env_name', { envName: 'Path' }, false],
    ['env_name', { envName: 'PATHS' }, true],
    ['file_path', { filePath: '' }, true],
    ['file_path', { filePath: '/x' }, true],
    ['file_path', { filePath: '~/x' }, true],
    ['file_path', { filePath: '~x/y' }, false],
    ['file_path', { filePath: 'x' }, false],
    ['file_path', { filePath: '~' }, false],
    ['file_path', { filePath: '~/' }, false],
    ['file_path', { filePath: '/' }, false],
    ['file_path', { filePath: '/./' }, false],
    ['file_path', { filePath: '/a/../b' }, false],
    ['file_path', { filePath: '/a/..' }, false],
    ['file_path', { filePath: '~/..\\b' }, false],
    ['file_path', { filePath: '/a/..b/c..' }, true],
    ['file_path', { filePath: '/a\0' }, false],
    ['file_path', { filePath: `/${times('a', 4_095)}` }, true],
    ['file_path', { filePath: `/${times('a', 4_096)}` }, false],
  ] as const)('%s %# is judged by the table', (field, secret, good) => {
    expect(fieldsOf(secret)).toEqual(good ? [] : [field]);
  });

  test('is told every field that is wrong at once, and never a value', () => {
    const problems = secretProblems({ name: '', value: 'canary\0', envName: 'PATH', filePath: 'x', description: '' });
    expect(problems.map(({ field }) => field)).toEqual(['name', 'value', 'env_name', 'file_path']);
    expect(JSON.stringify(problems)).not.toContain('canary');
  });

  test('needs a target only while it is enabled', () => {
    const target = (enabled: boolean, envName: string, filePath: string) =>
      targetProblems({ enabled, envName, filePath }).length;
    expect([target(true, '', ''), target(false, '', ''), target(true, 'A', ''), target(true, '', '/a')]).toEqual([
      1, 0, 0, 0,
    ]);
  });

  test('conflicts in each field that another one has, empty ones never', () => {
    const other = { name: 'a', envName: 'A', filePath: '' };
    const fields = (secret: Parameters<typeof secretConflicts>[0]) =>
      secretConflicts(secret, [other]).map(({ field }) => field);
    expect(fields({ name: 'a', envName: 'A', filePath: '' })).toEqual(['name', 'env_name']);
    expect(fields({ name: 'A', envName: 'a', filePath: '/x' })).toEqual([]);
    expect(fields({ envName: '' })).toEqual([]);
  });
});

describe('reserved names', () => {
  test.each([
    ...'PATH HOME SHELL USER LOGNAME PWD OLDPWD LANG TERM IFS CDPATH ENV BASH_ENV TMPDIR TMP TEMP HOSTNAME'.split(' '),
    ...'SSH_AUTH_SOCK SSH_CLIENT SSH_CONNECTION SSH_TTY EDITOR VISUAL PAGER VSCODE_PROXY_URI'.split(' '),
    ...'CS_DISABLE_GETTING_STARTED_OVERRIDE XDG_RUNTIME_DIR XDG_CONFIG_HOME XDG_DATA_HOME'.split(' '),
    ...'XDG_CACHE_HOME XDG_STATE_HOME CODER CODER_AGENT_TOKEN CODER_ GIT_SSH LC_ALL LD_PRELOAD DYLD_X'.split(' '),
  ])('%s in any case', (name) => {
    expect([isReservedEnvName(name), isReservedEnvName(name.toLowerCase())]).toEqual([true, true]);
    expect(fieldsOf({ envName: name })).toEqual(['env_name']);
  });

  test.each(['CODERS', 'MY_PATH', 'GITHUB_TOKEN', 'LDAP', 'XDG_OTHER', 'API_KEY', 'LCX'])('%s is free', (name) => {
    expect(isReservedEnvName(name)).toBe(false);
  });
});

describe('paths', () => {
  test.each([
    ['~/x', '~/x'],
    ['~//x/./y', '~/x/y'],
    ['/a//b', '/a/b'],
    ['/a/b/', '/a/b'],
    ['///a', '/a'],
    ['/a/.b/c.', '/a/.b/c.'],
    ['', ''],
  ])('%s is the file %s', (path, normal) => {
    expect(normalizeSecretPath(path)).toBe(normal);
  });

  test('a normal path is normal, as good as the given one, and never longer', () => {
    const segment = fc.constantFrom('', '.', 'a', 'b.c', '~', ' ');
    fc.assert(
      fc.property(fc.constantFrom('/', '~/'), fc.array(segment, { maxLength: 8 }), (root, segments) => {
        const path = root + segments.join('/');
        const normal = normalizeSecretPath(path);
        expect(normalizeSecretPath(normal)).toBe(normal);
        expect(normal.length).toBeLessThanOrEqual(path.length);
        if (fieldsOf({ filePath: path }).length === 0) expect(fieldsOf({ filePath: normal })).toEqual([]);
        expect(normal).not.toMatch(/\/\.?\/|.\/\.?$/);
      }),
    );
  });
});

const detailOf = (format: SecretFileFormat, content: string): string => {
  try {
    parseSecretFile(format, content);
  } catch (err) {
    if (err instanceof DomainError && err.code === 'INVALID_INPUT') return err.validations[0]?.detail ?? '';
    throw err;
  }
  throw new Error('the file was taken');
};
const pairs = (format: SecretFileFormat, content: string) =>
  Object.fromEntries(parseSecretFile(format, content).map(({ name, value }) => [name, value]));

describe('a file of secrets', () => {
  test('in env format: comments, export, quotes over lines, nothing expanded', () => {
    const content = [
      '# first',
      'A=1',
      '',
      'export B = two words # a comment',
      "C='single $X \\n # kept'",
      'D="double\\n\\"q\\" $X"',
      'E="over',
      'lines" # done',
      'F=a=b#c',
      'G=',
      '  # last',
      '  H=x',
    ].join('\r\n');
    expect(pairs('env', `\uFEFF${content}`)).toEqual({
      A: '1',
      B: 'two words',
      C: 'single $X \\n # kept',
      D: 'double\n"q" $X',
      E: 'over\nlines',
      F: 'a=b#c',
      G: '',
      H: 'x',
    });
  });

  test.each([
    ['env', 'A', 'line 1 is not'],
    ['env', 'A=1\n\n=2', 'line 3 is not'],
    ['env', 'A=1\nB="x', 'line 2 has a quote'],
    ['env', "A='x' y", 'line 1 goes on'],
    ['env', '# nothing\n', 'no secrets'],
    ['env', 'A=1\nA=2', 'secret 2 has the name'],
    ['json', '{"A": canary}', 'not valid JSON'],
    ['json', '["A"]', 'one object'],
    ['json', 'null', 'one object'],
    ['json', '{}', 'no secrets'],
    ['json', '{"A": 1}', 'texts as values'],
    ['json', '{"A": {"B": "c"}}', 'texts as values'],
    ['json', '{"A": {"B": "c"}, "A": "x"}', 'texts as values'],
    ['json', '{"A": "x", "\\u0041": "y"}', 'secret 2 has the name'],
    ['yaml', 'A: "x', 'not valid YAML'],
    ['yaml', 'A: x\n---\nB: y', 'single YAML document'],
    ['yaml', '- A', 'one mapping'],
    ['yaml', '# nothing', 'no secrets'],
    ['yaml', 'A: 1', 'texts as values'],
    ['yaml', 'A: true', 'texts as values'],
    ['yaml', 'A:', 'texts as values'],
    ['yaml', 'A: {B: c}', 'texts as values'],
    ['yaml', 'A: &x y\nB: *x', 'texts as values'],
    ['yaml', 'A: !canary x', 'not valid YAML'],
    ['yaml', 'A: !!binary aGk=', 'texts as values'],
    ['yaml', '? [A]\n: x', 'not valid YAML'],
    ['yaml', 'A: x\n"A": y', 'secret 2 has the name'],
    ['yaml', '['.repeat(900_000), 'more structure'],
    ['yaml', 'A: b\n'.repeat(200_000), 'more structure'],
  ] as const)('%s %# is refused: %s', (format, content, detail) => {
    const text = detailOf(format, content);
    expect(text).toContain(detail);
    expect(text).not.toContain('canary');
  });

  test('holds at most 50', () => {
    const json = (count: number) =>
      JSON.stringify(Object.fromEntries(Array.from({ length: count }, (_, i) => [`A${i}`, 'x'])));
    expect(parseSecretFile('json', json(50))).toHaveLength(50);
    expect(parseSecretFile('yaml', json(50))).toHaveLength(50);
    for (const format of ['json', 'yaml'] as const) expect(detailOf(format, json(51))).toContain('more than 50');
    expect(detailOf('env', 'A=1\n'.repeat(51))).toContain('more than 50');
  });

  test('in YAML keeps what looks like other words and block texts', () => {
    expect(pairs('yaml', 'A: yes\nB: "1"\nC: |\n  one\n  two\n1: x\n__proto__: y')).toEqual(
      Object.fromEntries([
        ['A', 'yes'],
        ['B', '1'],
        ['C', 'one\ntwo\n'],
        ['1', 'x'],
        ['__proto__', 'y'],
      ]),
    );
  });

  test('reads back every name and text that was written, in JSON, in YAML and, quoted, as env', () => {
    const names = fc.stringMatching(/^[A-Za-z_][A-Za-z0-9_]{0,12}$/);
    const entries = fc.uniqueArray(fc.tuple(names, fc.string({ unit: 'binary', maxLength: 40 })), {
      minLength: 1,
      maxLength: 8,
      selector: ([name]) => name,
    });
    fc.assert(
      fc.property(entries, (list) => {
        const expected = list.map(([name, value]) => ({ name, value }));
        const json = `{${list.map(([name, value]) => `${JSON.stringify(name)} : ${JSON.stringify(value)}`).join(', ')}}`;
        expect(parseSecretFile('json', json)).toEqual(expected);
        expect(parseSecretFile('yaml', json)).toEqual(expected);
        const env = list.map(
          ([name, value]) =>
            `${name}="${value.replaceAll(/["\\]/g, '\\$&').replaceAll('\n', '\\n').replaceAll('\r', '\\r')}"`,
        );
        expect(parseSecretFile('env', env.join('\n'))).toEqual(expected);
      }),
    );
  });
});

test('a hostile env file takes no longer than its length', () => {
  const began = performance.now();
  for (const text of [
    `A=${' # x'.repeat(250_000)}\rb`,
    ' '.repeat(1_000_000),
    `A="${'\\x'.repeat(400_000)}`,
    `${'a'.repeat(1_000_000)}`,
    `export${' '.repeat(1_000_000)}`,
    '#\n'.repeat(500_000),
  ])
    try {
      parseSecretFile('env', text);
    } catch {
      // Only the time counts.
    }
  expect(performance.now() - began).toBeLessThan(2_000);
});
