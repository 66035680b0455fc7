#!/usr/bin/env node
/**
 * The workspace of this template on the provisioner's host: a directory and a process. Terraform's provisioners call it
 * with WORKSPACE_DIRECTORY set; it needs Node 18 and nothing else.
 *
 *   create   makes the directory with the home in it; a repeated call changes nothing
 *   start    starts the process, replacing an older one, and waits until it answers
 *   stop     ends the process; fine when there is none
 *   start-agent, stop-agent   the same for the agent, by the script that its provider gives (AGENT_SCRIPT)
 *   remove   stops both, then removes the directory
 *   serve    is the process
 */
import { spawn, spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { createServer } from 'node:http';
import { isAbsolute, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const directory = process.env.WORKSPACE_DIRECTORY ?? '';
if (!isAbsolute(directory)) fail('WORKSPACE_DIRECTORY has to be an absolute path');
const at = (name) => join(directory, name);
const home = at('home');
const marker = at('.workspace');
const pidFile = at('process.pid');
const logFile = at('process.log');
const agentPidFile = at('agent.pid');

function fail(text) {
  console.error(text);
  process.exit(1);
}

function create() {
  fs.mkdirSync(home, { recursive: true, mode: 0o700 });
  if (process.env.HOME_LAYOUT === 'project' && !fs.existsSync(join(home, 'project'))) {
    fs.mkdirSync(join(home, 'project'));
    fs.writeFileSync(join(home, 'project', 'README.md'), '# A new project\n');
  }
  fs.writeFileSync(marker, 'made by the template local-process; `remove` deletes only directories with this file\n');
  console.log(`home: ${home}`);
}

/** Number of the live process that the file names, or null. A number alone proves nothing: the system reuses them. */
function livePid(file, sign) {
  const pid = fs.existsSync(file) ? Number(fs.readFileSync(file, 'utf8')) : 0;
  if (!Number.isInteger(pid) || pid <= 1) return null;
  let command;
  try {
    command = fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    command = fs.existsSync('/proc/self') ? '' : spawnSync('ps', ['-o', 'args=', '-p', String(pid)]).stdout?.toString();
  }
  return command?.includes(sign) ? pid : null;
}
const runningPid = () => livePid(pidFile, at('process.mjs'));
// It is loaded below the workspace's directory, so its command line names that (see startAgent).
const agentPid = () => livePid(agentPidFile, at('tmp'));

/** To the whole process group: whatever the process has started ends with it. */
function signal(pid, name) {
  try {
    process.kill(-pid, name);
  } catch (err) {
    if (err.code !== 'ESRCH') throw err;
  }
}

async function end(what, file, findPid, graceMs) {
  const pid = findPid();
  if (pid !== null) {
    signal(pid, 'SIGTERM');
    const deadline = Date.now() + graceMs;
    while (findPid() !== null && Date.now() < deadline) await delay(20);
    if (findPid() !== null) signal(pid, 'SIGKILL');
    while (findPid() !== null) await delay(20);
    console.log(`${what} ${pid} is stopped`);
  }
  fs.rmSync(file, { force: true });
}
const stop = () => end('process', pidFile, runningPid, 5_000);
// Longer: it may still be running its stop scripts, when the platform did not wait for them.
const stopAgent = () => end('agent', agentPidFile, agentPid, 15_000);

async function startAgent() {
  await stopAgent();
  fs.mkdirSync(at('tmp'), { recursive: true, mode: 0o700 });
  const log = fs.openSync(at('agent.log'), 'a');
  const child = spawn('sh', ['-c', process.env.AGENT_SCRIPT ?? '', at('tmp')], {
    cwd: home,
    detached: true,
    stdio: ['ignore', log, log],
    env: {
      PATH: process.env.PATH,
      HOME: home,
      TMPDIR: at('tmp'),
      WORKSPACE_DIRECTORY: directory,
      CODER_AGENT_TOKEN: process.env.CODER_AGENT_TOKEN,
      CODER_AGENT_LOG_DIR: at('logs'),
      // Without it the script would keep a failed machine alive for a day, to be looked at.
      CODER_AGENT_NO_SLEEP: '1',
    },
  });
  fs.writeFileSync(agentPidFile, `${child.pid}\n`);
  console.log(`agent ${child.pid} is starting`);
  process.exit(0);
}

async function start() {
  const config = JSON.parse(process.env.WORKSPACE_CONFIG ?? '{}');
  await stop();
  if (config.clear) fs.rmSync(join(home, '.cache'), { recursive: true, force: true });
  growDisk(config.disk_mb * 1024 * 1024);
  const log = fs.openSync(logFile, 'a');
  // A session of its own: Terraform ends with everything in its own process group, and this has to outlive it. No output
  // goes to Terraform either, which would wait for it to be closed. It runs from a copy, for Terraform's directory goes away.
  fs.copyFileSync(fileURLToPath(import.meta.url), at('process.mjs'));
  const child = spawn(process.execPath, [at('process.mjs'), 'serve'], {
    cwd: home,
    detached: true,
    stdio: ['ignore', log, log],
    env: {
      PATH: process.env.PATH,
      HOME: home,
      WORKSPACE_DIRECTORY: directory,
      WORKSPACE_CONFIG: JSON.stringify(config),
    },
  });
  fs.writeFileSync(pidFile, `${child.pid}\n`);
  let ended = false;
  child.once('exit', () => (ended = true));
  const deadline = Date.now() + 15_000;
  while (!(await answers(config.port, child.pid))) {
    if (ended || Date.now() > deadline) {
      await stop();
      const lines = fs.readFileSync(logFile, 'utf8').trimEnd().split('\n').slice(-5).join('\n  ');
      fail(`the process ${ended ? 'ended at once' : 'does not answer after 15 s'}; its log ends with\n  ${lines}`);
    }
    await delay(20);
  }
  console.log(`process ${child.pid} serves http://127.0.0.1:${config.port}`);
  // The child must not keep this command alive.
  process.exit(0);
}

async function answers(port, pid) {
  try {
    const response = await fetch(`http://127.0.0.1:${port}/healthz`, { signal: AbortSignal.timeout(1_000) });
    return (await response.json()).pid === pid;
  } catch {
    return false;
  }
}

/** A sparse file: real size, no blocks. It only grows. */
function growDisk(bytes) {
  const image = at('disk.img');
  const size = fs.existsSync(image) ? fs.statSync(image).size : 0;
  if (size < bytes) fs.closeSync(fs.openSync(image, 'a'));
  if (size < bytes) fs.truncateSync(image, bytes);
}

async function remove() {
  if (!fs.existsSync(directory)) return;
  if (!fs.existsSync(marker)) fail(`${directory} was not made by this template: nothing is removed`);
  await stopAgent();
  await stop();
  fs.rmSync(directory, { recursive: true, force: true });
  console.log(`${directory} is removed`);
}

function serve() {
  const config = JSON.parse(process.env.WORKSPACE_CONFIG ?? '{}');
  const startedAt = new Date();
  // Here as well: whoever started us may have been killed before he could write it down.
  fs.writeFileSync(pidFile, `${process.pid}\n`);
  const say = (text) => console.log(`${new Date().toISOString()} ${text}`);
  const pages = {
    files: () =>
      fs
        .readdirSync(home, { recursive: true })
        .sort((a, b) => a.localeCompare(b))
        .join('\n'),
    settings: () => JSON.stringify(config, null, 2),
    uptime: () => `${Math.round((Date.now() - startedAt.getTime()) / 1000)} s`,
  };
  const shown = Object.keys(pages).filter((page) => config.pages.includes(page));
  const server = createServer((request, response) => {
    const path = new URL(request.url, 'http://localhost').pathname.slice(1);
    const body =
      path === 'healthz'
        ? JSON.stringify({ pid: process.pid, started_at: startedAt, directory })
        : path === ''
          ? [config.greeting, '', ...shown.map((page) => `/${page}`)].join('\n')
          : shown.includes(path)
            ? pages[path]()
            : null;
    response.writeHead(body === null ? 404 : 200, { 'content-type': 'text/plain; charset=utf-8' });
    response.end(`${body ?? 'There is no such page.'}\n`);
    if (config.access_log && path !== 'healthz') say(`${request.method} /${path} ${response.statusCode}`);
  });
  server.on('error', (err) => {
    say(`cannot listen on port ${config.port}: ${err.message}`);
    process.exit(1);
  });
  server.listen(config.port, '127.0.0.1', () =>
    say(`started on port ${config.port} with a ${config.disk_mb} MiB disk`),
  );
  if (config.log_level === 'debug') setInterval(() => say(`alive, ${process.memoryUsage().rss >> 20} MiB`), 1_000);
  // A process whose workspace was removed behind its back has nothing left to do.
  setInterval(() => fs.existsSync(marker) || process.exit(0), 2_000);
  process.on('SIGTERM', () => {
    say('stopped');
    process.exit(0);
  });
}

const commands = { create, start, stop, 'start-agent': startAgent, 'stop-agent': stopAgent, remove, serve };
const command = commands[process.argv[2]];
if (command === undefined) fail(`usage: process.mjs ${Object.keys(commands).join('|')}`);
await command();
