#!/usr/bin/env node
/**
 * First link of every npm script that has to work straight after `git clone`: installs the dependencies when they are
 * missing or older than package-lock.json, then runs the given script with the same signals and exit code.
 * Plain Node without dependencies, because there may be none yet.
 *
 *   node scripts/bootstrap.mjs scripts/up.ts --verbose
 */
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const modules = join(root, 'node_modules');
const stamp = join(modules, '.berth-installed');
const say = (text) => process.stderr.write(`${text}\n`);

function requireNode() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major > 20 || (major === 20 && minor >= 11)) return;
  say(`Node ${process.versions.node} is too old: Berth needs Node 20.11 or later (see .nvmrc).`);
  process.exit(1);
}

/** The lock file's text and our patches of packages, together with what native packages depend on. */
const fingerprint = () => {
  const patches = join(root, 'patches');
  const hash = createHash('sha256').update(readFileSync(join(root, 'package-lock.json')));
  for (const name of readdirSync(patches).toSorted()) hash.update(readFileSync(join(patches, name)));
  return hash.update(`${process.platform} ${process.arch}`).digest('hex');
};

const readText = (path) => (existsSync(path) ? readFileSync(path, 'utf8') : null);

/** Whether npm's own record of node_modules has every package of the lock file; those of other platforms may be absent. */
function matchesLockFile() {
  const record = readText(join(modules, '.package-lock.json'));
  if (record === null) return false;
  const installed = JSON.parse(record).packages ?? {};
  const wanted = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages ?? {};
  return Object.entries(wanted).every(
    ([path, { version, optional }]) =>
      path === '' ||
      (installed[path]?.version ?? (optional ? version : null)) === version ||
      (optional && installed[path] === undefined),
  );
}

/** Does nothing where it was done; false when the package is not what the patch was made for. */
const applyPatches = () =>
  spawnSync(process.execPath, [join(modules, 'patch-package', 'index.js'), '--error-on-fail'], { cwd: root }).status ===
  0;

function isInstalled() {
  if (readText(stamp) === fingerprint()) return true;
  if (!matchesLockFile() || !applyPatches()) return false;
  writeFileSync(stamp, fingerprint());
  return true;
}

const isAlive = (pid) => {
  try {
    process.kill(pid, 0);
    return true;
  } catch (err) {
    return err.code === 'EPERM';
  }
};

/** Two commands started at once on a fresh clone must not run `npm ci` over each other. */
async function withInstallLock(work) {
  const lock = join(root, '.tools', 'locks', 'install');
  mkdirSync(dirname(lock), { recursive: true });
  let told = false;
  for (;;) {
    try {
      writeFileSync(lock, String(process.pid), { flag: 'wx' });
      break;
    } catch (err) {
      if (err.code !== 'EEXIST') throw err;
    }
    const owner = Number(readText(lock));
    if (owner > 0 && !isAlive(owner)) rmSync(lock, { force: true });
    else if (!told) {
      say(`Waiting for process ${owner}, which installs the dependencies.`);
      told = true;
    }
    await new Promise((wake) => setTimeout(wake, 200));
  }
  try {
    work();
  } finally {
    rmSync(lock, { force: true });
  }
}

function install() {
  if (isInstalled()) return;
  const started = Date.now();
  say(`Installing dependencies with npm ci${existsSync(modules) ? ' (package-lock.json has changed)' : ''} …`);
  // The npm that runs this script, when one does: another one on PATH may be of another version.
  const own = process.env.npm_execpath;
  const [command, first] = own !== undefined && /\.c?js$/.test(own) ? [process.execPath, [own]] : ['npm', []];
  const args = [...first, 'ci', '--include=dev', '--include=optional', '--no-audit', '--no-fund', '--loglevel=error'];
  // Output goes to standard error: standard output belongs to the command, which may print JSON.
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: ['ignore', 2, 2] });
  if (status !== 0) {
    say(
      `\nInstalling the dependencies failed${error ? ` (${error.message})` : ` (npm ci ended with ${status})`}.\n` +
        '  fix: see the message above; `npm ping` tells whether the package registry answers, `npm config get registry` which one it is',
    );
    process.exit(1);
  }
  writeFileSync(stamp, fingerprint());
  say(`Dependencies installed (${Math.round((Date.now() - started) / 1000)} s).`);
}

function runScript([script, ...args]) {
  const nodeArgs = script.endsWith('.ts') ? ['--import', import.meta.resolve('tsx')] : [];
  const child = spawn(process.execPath, [...nodeArgs, resolve(root, script), ...args], { stdio: 'inherit' });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'])
    process.on(signal, () => {
      // A terminal sends Ctrl-C to the whole group: the child has it already.
      if (signal !== 'SIGINT' || process.stdin.isTTY !== true) child.kill(signal);
    });
  child.on('error', (err) => {
    say(`cannot start ${script}: ${err.message}`);
    process.exit(1);
  });
  child.on('exit', (code, signal) => process.exit(code ?? 128 + (constants.signals[signal] ?? 0)));
}

const [script] = process.argv.slice(2);
if (script === undefined) {
  say('usage: node scripts/bootstrap.mjs <script.ts> [arguments]');
  process.exit(2);
}
requireNode();
if (!isInstalled()) await withInstallLock(install);
if (!existsSync(resolve(root, script))) {
  say(`${script} does not exist in this release.`);
  process.exit(1);
}
runScript(process.argv.slice(2));
