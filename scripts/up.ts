import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { loadConfig, workerEnvironment } from '../config.ts';
import { SetupFailure, describeFailure } from '../toolchain/failure.ts';
import { tryLock } from '../toolchain/lock.ts';
import { identify, isAlive, terminate, waitFor } from '../toolchain/process.ts';
import type { ProcessIdentity } from '../toolchain/process.ts';
import { terminalProgress } from '../toolchain/progress.ts';
import type { UnitEvent } from '../toolchain/supervisor.ts';
import { followLog } from './stack/follow-logs.ts';
import { endLeftovers, launchStack } from './stack/launch.ts';
import { banner, onboard } from './stack/onboard.ts';
import { lockPath, logPath, readState, runningState } from './stack/state.ts';
import type { StackUrls } from './stack/state.ts';

const usage = `npm run up [-- options]

Starts PostgreSQL, Temporal, the API and the workers, and keeps them running until Ctrl-C.

  --detach    start in the background and return when everything is ready
  --stop      stop what an earlier up has started
  --status    say what is running (--json for programs)
  --verbose   show the log lines of all processes
`;

const { values: flags } = parseArgs({
  options: {
    detach: { type: 'boolean', default: false },
    stop: { type: 'boolean', default: false },
    status: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    verbose: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
    // The background half of --detach: starts and supervises, leaves users and templates to the front.
    supervise: { type: 'boolean', default: false },
  },
});
const config = loadConfig();
const dataDir = config.BERTH_DATA_DIR;
const progress = terminalProgress(config.CI !== undefined);

async function main(): Promise<void> {
  if (flags.help) return console.log(usage);
  if (flags.status) return status();
  if (flags.stop) return stop();
  const attempt = await tryLock(lockPath(dataDir));
  if (attempt.kind === 'taken') {
    const urls = await joinRunning(attempt.by);
    console.log(`\nBerth is already running (process ${attempt.by.pid}; stop it with npm run up -- --stop).`);
    return welcome(urls);
  }
  if (flags.detach) {
    // The background process takes the lock itself; whoever is second then finds it taken.
    attempt.lock.release();
    return detach();
  }
  await supervise(attempt.lock);
}

async function welcome(urls: StackUrls): Promise<void> {
  const user = await onboard(config, urls, progress);
  console.log(banner(config, urls, user));
}

/** Waits for an `up` that is on its way in another process. */
async function joinRunning(owner: ProcessIdentity): Promise<StackUrls> {
  const found = await progress.step('wait for the running Berth', async () => {
    let state = await runningState(dataDir);
    await waitFor(
      async () => {
        state = readState(dataDir);
        const ours = state?.supervisor.pid === owner.pid;
        return !(await isAlive(owner)) || (ours && state?.phase !== 'starting');
      },
      45 * 60_000,
      200,
    );
    if (state?.phase === 'ready' && state.urls !== null) return state.urls;
    throw new SetupFailure(
      `the Berth of process ${owner.pid} is ${state?.phase ?? 'gone'}${state?.error == null ? '' : `: ${state.error}`}`,
      'wait until it has ended, then run npm run up again',
    );
  });
  return found;
}

async function detach(): Promise<void> {
  const log = logPath(dataDir, 'up');
  mkdirSync(dirname(log), { recursive: true });
  const stopFollowing = followLog(log, (line) => console.log(line));
  const output = openSync(log, 'a', 0o600);
  const child = spawn(
    process.execPath,
    ['--import', import.meta.resolve('tsx'), fileURLToPath(import.meta.url), '--supervise'],
    { detached: true, stdio: ['ignore', output, output], env: workerEnvironment() },
  );
  closeSync(output);
  const background = await identify(child.pid ?? 0);
  // Ctrl-C before it is ready means: do not start at all.
  const giveUp = (): void => void terminate(background, { graceMs: 60_000 }).then(() => process.exit(130));
  process.on('SIGINT', giveUp).on('SIGTERM', giveUp);
  const done = await waitFor(
    async () => {
      const state = readState(dataDir);
      return (
        !(await isAlive(background)) ||
        (state?.supervisor.pid === background.pid && (state.phase === 'ready' || state.phase === 'failed'))
      );
    },
    45 * 60_000,
    100,
  );
  stopFollowing();
  // Another `up` may have been faster in between: then that one is what runs.
  const state = await runningState(dataDir);
  if (done && state !== null && state.phase !== 'failed') {
    await welcome(state.phase === 'ready' && state.urls !== null ? state.urls : await joinRunning(state.supervisor));
    child.unref();
    process.exit(0);
  }
  // The reason has been shown already, line by line.
  console.error(`Berth did not start; the log is ${log}`);
  process.exit(1);
}

async function supervise(lock: Parameters<typeof launchStack>[0]['lock']): Promise<void> {
  const following: (() => void)[] = [];
  const onEvent = (event: UnitEvent): void => {
    if (event.kind === 'started' && flags.verbose && event.restarts === 0)
      following.push(
        followLog(logPath(dataDir, event.name), (line) => console.log(`${event.name.padEnd(11)} | ${line}`)),
      );
    if (event.kind === 'started' && event.restarts > 0)
      progress.note(`${event.name} runs again (process ${event.pid})`);
    if (event.kind === 'exited')
      progress.warn(
        `${event.name} ended (${event.exit.signal ?? `exit ${event.exit.code}`}); restart in ${event.restartInMs} ms, see ${logPath(dataDir, event.name)}`,
      );
    if (event.kind === 'restart-failed') progress.warn(`${event.name} could not be restarted: ${event.reason}`);
    if (event.kind === 'stopping') progress.note(`stopping ${event.name}`);
  };
  const stack = await launchStack({ config, env: workerEnvironment(), progress, lock, onEvent });
  let stopping: Promise<void> | undefined;
  const stopAll = (): Promise<void> => {
    stopping ??= stack.stop().finally(() => {
      for (const end of following) end();
    });
    return stopping;
  };
  let firstSignalAt = 0;
  const onSignal = (): void => {
    // Ctrl-C may arrive twice: from the terminal and through npm. Only a later one is a person losing patience.
    if (firstSignalAt > 0 && Date.now() - firstSignalAt > 1_500) {
      progress.warn('killing everything; the next up cleans up');
      for (const { identity } of readState(dataDir)?.units ?? []) void terminate(identity, { signal: 'SIGKILL' });
      setTimeout(() => process.exit(130), 500);
      return;
    }
    if (firstSignalAt > 0) return;
    firstSignalAt = Date.now();
    console.log('\nStopping (once more to kill) …');
    void stopAll().then(() => {
      console.log('Berth is stopped.');
      process.exit(0);
    });
  };
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal).on('SIGHUP', onSignal);
  try {
    const urls = await stack.ready;
    if (flags.supervise) console.log('ready');
    else {
      await welcome(urls);
      console.log('Ctrl-C stops everything.');
    }
    // Pending work of the supervisor keeps the process alive; this keeps it alive with existing services as well.
    setInterval(() => undefined, 3_600_000);
  } catch (err) {
    if (firstSignalAt > 0) return;
    console.error(describeFailure(err));
    await stopAll();
    process.exit(1);
  }
}

async function status(): Promise<void> {
  const state = await runningState(dataDir);
  const units = [];
  for (const unit of state?.units ?? [])
    units.push({ ...unit, alive: await isAlive(unit.identity), log: logPath(dataDir, unit.name) });
  if (flags.json)
    console.log(
      JSON.stringify({ running: state !== null, phase: state?.phase ?? 'stopped', urls: state?.urls ?? null, units }),
    );
  else if (state === null) console.log('Berth is not running. Start it with npm run up.');
  else {
    console.log(`Berth is ${state.phase} (process ${state.supervisor.pid}).`);
    for (const { name, identity, alive, restarts, log } of units)
      console.log(
        `  ${name.padEnd(12)} ${alive ? `process ${identity.pid}` : 'down'}, ${restarts} restarts, log ${log}`,
      );
    for (const [name, url] of Object.entries(state.urls ?? {})) console.log(`  ${name.padEnd(18)} ${url}`);
  }
  process.exitCode = state?.phase === 'ready' ? 0 : 3;
}

async function stop(): Promise<void> {
  const state = await runningState(dataDir);
  if (state === null) {
    await endLeftovers(dataDir, progress);
    return console.log('Berth is not running.');
  }
  await progress.step('stop Berth', () => terminate(state.supervisor, { graceMs: 90_000 }));
  // Nothing is left when it ended in order; after a forced end the rest is ours to stop.
  await endLeftovers(dataDir, progress);
}

try {
  await main();
} catch (err) {
  console.error(describeFailure(err));
  process.exitCode = 1;
}
