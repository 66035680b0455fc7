import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { writeSecretFiles } from '../../agent/secret-files.ts';
import { planSecrets } from '../../agent/secret-placement.ts';
import { temporaryDirectory } from './support/builders.ts';

const secret = (value: string, { env = '', file = '' }: { env?: string; file?: string }) => ({
  env_name: env,
  file_path: file,
  value_base64: Buffer.from(value).toString('base64'),
});
const modeOf = (path: string): string => (statSync(path).mode & 0o777).toString(8);

describe('placement of secrets', () => {
  test('variables, files, or both; the values as they are', () => {
    const plan = planSecrets([secret('v$1', { env: 'A', file: '~/.a' }), secret('w', { env: 'B' })], '/h');
    expect(plan.env).toEqual({ A: 'v$1', B: 'w' });
    expect(plan.files).toEqual([{ path: '/h/.a', content: Buffer.from('v$1') }]);
    expect(plan.warnings).toEqual([]);
  });
  test('reserved names are skipped with a warning that has no value', () => {
    const plan = planSecrets(
      ['CODER_AGENT_TOKEN', 'path', 'GIT_SSH', 'LD_PRELOAD', 'A=B'].map((env) => secret('hidden', { env })),
      '/h',
    );
    expect(plan.env).toEqual({});
    expect(plan.warnings).toHaveLength(5);
    expect(plan.warnings.join()).not.toContain('hidden');
  });
  test('of two with one path the later wins, and it is told', () => {
    const plan = planSecrets([secret('1', { file: '~/a' }), secret('2', { file: '/h/a' })], '/h');
    expect(plan.files).toEqual([{ path: '/h/a', content: Buffer.from('2') }]);
    expect(plan.warnings).toHaveLength(1);
  });
  test('paths that lead elsewhere are refused', () => {
    const plan = planSecrets(
      ['relative', '~/../x', '/a/../b'].map((file) => secret('1', { file })),
      '/h',
    );
    expect([plan.files, plan.warnings.length]).toEqual([[], 3]);
  });
});

describe('files of secrets', () => {
  const write = (home: string, path: string, content: string) => {
    const notes: string[] = [];
    writeSecretFiles([{ path, content: Buffer.from(content) }], {
      home,
      note: (level, text) => notes.push(`${level} ${text}`),
    });
    return notes;
  };

  test('are new ones of mode 600 in directories of mode 700', () => {
    const home = temporaryDirectory();
    expect(write(home, join(home, 'a/b/key'), 'v')).toEqual([]);
    expect(readFileSync(join(home, 'a/b/key'), 'utf8')).toBe('v');
    expect([modeOf(join(home, 'a')), modeOf(join(home, 'a/b')), modeOf(join(home, 'a/b/key'))]).toEqual([
      '700',
      '700',
      '600',
    ]);
    expect(readdirSync(join(home, 'a/b'))).toEqual(['key']);
  });
  test('keep the mode that an existing file has', () => {
    const home = temporaryDirectory();
    writeFileSync(join(home, 'key'), 'old');
    chmodSync(join(home, 'key'), 0o640);
    expect(write(home, join(home, 'key'), 'new')).toEqual([]);
    expect([readFileSync(join(home, 'key'), 'utf8'), modeOf(join(home, 'key'))]).toEqual(['new', '640']);
  });
  test('follow a link inside home and stay away from one that leads out of it', () => {
    const [home, outside] = [temporaryDirectory(), temporaryDirectory()];
    mkdirSync(join(home, 'real'));
    symlinkSync(join(home, 'real/key'), join(home, 'inside'));
    writeFileSync(join(outside, 'target'), 'theirs');
    symlinkSync(join(outside, 'target'), join(home, 'out'));
    symlinkSync(outside, join(home, 'linked'));
    expect(write(home, join(home, 'inside'), 'v')).toEqual([]);
    expect(readFileSync(join(home, 'real/key'), 'utf8')).toBe('v');
    for (const path of ['out', 'linked/new']) {
      const notes = write(home, join(home, path), 'hidden');
      expect(notes).toEqual([expect.stringMatching(/^warn .*not written/)]);
      expect(notes.join()).not.toContain('hidden');
    }
    expect(readFileSync(join(outside, 'target'), 'utf8')).toBe('theirs');
    expect(existsSync(join(outside, 'new'))).toBe(false);
  });
  test('that cannot be written are an error line, and the others follow', () => {
    const home = temporaryDirectory();
    writeFileSync(join(home, 'file'), '');
    const notes: string[] = [];
    // Node's own recursive mkdir never comes back from the second one.
    const paths = [join(home, 'file/below'), '/proc/none/below/x', join(home, 'good')];
    const files = paths.map((path) => ({ path, content: Buffer.from('v') }));
    writeSecretFiles(files, { home, note: (level) => notes.push(level) });
    expect(notes).toEqual(['error', 'error']);
    expect(readFileSync(join(home, 'good'), 'utf8')).toBe('v');
  });
});
