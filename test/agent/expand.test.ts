import fc from 'fast-check';
import { isAbsolute } from 'node:path';
import { describe, expect, test } from 'vitest';
import { expandHome, expandPath, expandVariables } from '../../agent/expand.ts';
import { logPathOf } from '../../agent/script-output.ts';

const home = '/home/ann';
const expand = (path: string, env: Record<string, string> = { HOME: home }) => expandPath(path, { home, env });

describe('a directory of a template', () => {
  test.each([
    ['', ''],
    ['~', home],
    ['~/x', '/home/ann/x'],
    ['$HOME/x', '/home/ann/x'],
    ['${HOME}/x', '/home/ann/x'],
    ['x', '/home/ann/x'],
    ['/srv/$PROJECT', '/srv/'],
    ['~bob/x', '/home/ann/~bob/x'],
  ])('%j becomes %j', (given, expected) => expect(expand(given)).toBe(expected));

  test('is always absolute or empty', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const path = expand(text);
        expect(path === '' || isAbsolute(path)).toBe(true);
      }),
    );
  });
});

describe('variables', () => {
  test('that are not set become empty; any other dollar stays', () => {
    expect(expandVariables('a$B-${C}d$1 $ ${} ${x y}', { B: 'b' })).toBe('ab-d$1 $ ${} ${x y}');
  });
  test('a text without dollars is unchanged, and no value is expanded again', () => {
    fc.assert(
      fc.property(fc.string(), (text) => expandVariables(text.replaceAll('$', ''), {}) === text.replaceAll('$', '')),
    );
    expect(expandVariables('$A', { A: '$B', B: 'no' })).toBe('$B');
  });
  test('a tilde counts at the beginning only', () => {
    expect(expandHome('/a/~/b', home)).toBe('/a/~/b');
  });
});

test('a log file is named after its source, or as the template says, below the log directory', () => {
  const options = { logDir: '/logs', home, processEnv: { X: 'x' } };
  expect(logPathOf({ log_path: '', log_source_id: 'id' }, options)).toBe('/logs/coder-script-id.log');
  expect(logPathOf({ log_path: 'start-$X.log', log_source_id: 'id' }, options)).toBe('/logs/start-x.log');
  expect(logPathOf({ log_path: '~/a.log', log_source_id: 'id' }, options)).toBe('/home/ann/a.log');
});
