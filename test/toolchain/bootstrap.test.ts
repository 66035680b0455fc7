import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { waitFor } from '../../toolchain/process.ts';
import { readLines, temporaryDir } from './fixtures.ts';

const lockFile = (version: string): string =>
  JSON.stringify({
    packages: {
      '': {},
      'node_modules/a': { version },
      'node_modules/other-platform': { version: '1.0.0', optional: true },
    },
  });

/**
 * A tiny project with the real bootstrap, an npm that only notes its calls and fills node_modules, and a patch-package that notes
 * what it would apply and refuses a patch that says so.
 */
function project(npm = ''): { dir: string; start: (...args: string[]) => ChildProcess; calls: () => number } {
  const dir = temporaryDir();
  mkdirSync(join(dir, 'scripts'));
  mkdirSync(join(dir, 'patches'));
  writeFileSync(join(dir, 'patches', 'a.patch'), 'fits\n');
  copyFileSync(
    fileURLToPath(new URL('../../scripts/bootstrap.mjs', import.meta.url)),
    join(dir, 'scripts', 'bootstrap.mjs'),
  );
  writeFileSync(join(dir, 'package-lock.json'), lockFile('1.0.0'));
  writeFileSync(
    join(dir, 'npm.cjs'),
    `const fs = require('node:fs');
fs.appendFileSync('npm-calls', process.argv.slice(2).join(' ') + '\\n');
${npm}
fs.mkdirSync('node_modules/patch-package', { recursive: true });
fs.writeFileSync('node_modules/patch-package/index.js', \`
  const patch = require('node:fs').readFileSync('patches/a.patch', 'utf8');
  require('node:fs').appendFileSync('applied', patch);
  process.exit(patch === 'fits not\\\\n' ? 1 : 0);\`);
fs.copyFileSync('package-lock.json', 'node_modules/.package-lock.json');`,
  );
  writeFileSync(join(dir, 'scripts', 'hello.mjs'), `console.log('hello ' + process.argv.slice(2).join(' '));`);
  writeFileSync(join(dir, 'scripts', 'fail.mjs'), 'process.exit(42);');
  writeFileSync(
    join(dir, 'scripts', 'wait.mjs'),
    `process.on('SIGTERM', () => process.exit(9)); console.log('waiting'); setInterval(() => undefined, 1000);`,
  );
  const start = (...args: string[]) =>
    spawn(process.execPath, [join(dir, 'scripts', 'bootstrap.mjs'), ...args], {
      cwd: dir,
      env: { PATH: process.env.PATH, npm_execpath: join(dir, 'npm.cjs') },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  return {
    dir,
    start,
    calls: () => (existsSync(join(dir, 'npm-calls')) ? readLines(join(dir, 'npm-calls')).length : 0),
  };
}

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}
const end = (child: ChildProcess): Promise<Ended> =>
  new Promise((resolve) => {
    const text = { stdout: '', stderr: '' };
    child.stdout?.on('data', (chunk: Buffer) => (text.stdout += chunk.toString()));
    child.stderr?.on('data', (chunk: Buffer) => (text.stderr += chunk.toString()));
    child.once('close', (code) => resolve({ code, ...text }));
  });

test('a fresh clone installs first, on standard error, and then runs the script with its arguments', async () => {
  const { start, calls, dir } = project();
  const first = await end(start('scripts/hello.mjs', 'a', '--b'));
  expect(first).toMatchObject({ code: 0, stdout: 'hello a --b\n' });
  expect(first.stderr).toContain('Installing dependencies with npm ci');
  expect(readFileSync(join(dir, 'npm-calls'), 'utf8')).toMatch(/^ci --include=dev --include=optional/);
  expect(await end(start('scripts/hello.mjs'))).toEqual({ code: 0, stdout: 'hello \n', stderr: '' });
  expect(calls()).toBe(1);
});

test('a changed lock file installs again, an install by hand that fits it does not', async () => {
  const { start, calls, dir } = project();
  await end(start('scripts/hello.mjs'));
  writeFileSync(join(dir, 'package-lock.json'), lockFile('2.0.0'));
  expect((await end(start('scripts/hello.mjs'))).stderr).toContain('package-lock.json has changed');
  expect(calls()).toBe(2);
  writeFileSync(join(dir, 'package-lock.json'), lockFile('3.0.0'));
  // Like npm's own record: without the optional package of another platform.
  writeFileSync(
    join(dir, 'node_modules', '.package-lock.json'),
    JSON.stringify({ packages: { 'node_modules/a': { version: '3.0.0' } } }),
  );
  expect((await end(start('scripts/hello.mjs'))).stderr).toBe('');
  expect(calls()).toBe(2);
});

test('a changed patch is applied without an install; one that fits only a fresh package installs again', async () => {
  const { start, calls, dir } = project();
  await end(start('scripts/hello.mjs'));
  writeFileSync(join(dir, 'patches', 'a.patch'), 'fits too\n');
  expect((await end(start('scripts/hello.mjs'))).stderr).toBe('');
  expect([calls(), readLines(join(dir, 'applied'))]).toEqual([1, ['fits too']]);
  writeFileSync(join(dir, 'patches', 'a.patch'), 'fits not\n');
  expect((await end(start('scripts/hello.mjs'))).stderr).toContain('Installing dependencies with npm ci');
  expect(calls()).toBe(2);
});

test('two first commands at once install once', async () => {
  const { start, calls } = project('Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 500);');
  const both = await Promise.all([end(start('scripts/hello.mjs')), end(start('scripts/hello.mjs'))]);
  expect(both.map(({ code }) => code)).toEqual([0, 0]);
  expect(calls()).toBe(1);
});

test('a failed install says so, says what to do, and does not run the script', async () => {
  const { start } = project(`console.error('registry says no'); process.exit(1);`);
  const { code, stdout, stderr } = await end(start('scripts/hello.mjs'));
  expect(code).toBe(1);
  expect(stdout).toBe('');
  expect(stderr).toContain('registry says no');
  expect(stderr).toContain('fix:');
});

test('the exit code of the script is kept', async () => {
  const { start } = project();
  expect((await end(start('scripts/fail.mjs'))).code).toBe(42);
});

test('a signal is passed on and the script decides how it ends', async () => {
  const { start } = project();
  const child = start('scripts/wait.mjs');
  let output = '';
  child.stdout?.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const ended = end(child);
  expect(await waitFor(async () => output.includes('waiting'), 10_000)).toBe(true);
  child.kill('SIGTERM');
  expect((await ended).code).toBe(9);
});

test('a script that is not there is named', async () => {
  const { start } = project();
  const { code, stderr } = await end(start('scripts/nothing.ts'));
  expect(code).toBe(1);
  expect(stderr).toContain('scripts/nothing.ts does not exist');
});

test('the lock file is complete for every platform, so that npm ci accepts it everywhere', () => {
  const lock = readFileSync(fileURLToPath(new URL('../../package-lock.json', import.meta.url)), 'utf8');
  const { packages } = JSON.parse(lock) as {
    packages: Record<string, { optionalDependencies?: Record<string, string>; optional?: boolean; integrity?: string }>;
  };
  // npm silently leaves out an optional package that the registry did not have when the lock file was written.
  const missing = Object.entries(packages).flatMap(([path, { optionalDependencies = {} }]) =>
    Object.keys(optionalDependencies).filter(
      (name) =>
        packages[`${path}/node_modules/${name}`] === undefined && packages[`node_modules/${name}`] === undefined,
    ),
  );
  expect(missing).toEqual([]);
  const unverified = Object.entries(packages).filter(([path, { integrity }]) => path !== '' && integrity === undefined);
  expect(unverified).toEqual([]);
  expect(lock).not.toContain('"resolved"');
});
