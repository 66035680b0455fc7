import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';
import { isAlive, waitFor } from '../../toolchain/process.ts';
import { launch } from '../../toolchain/running.ts';
import type { RunningUnit } from '../../toolchain/running.ts';
import { createSupervisor } from '../../toolchain/supervisor.ts';
import type { Supervisor, UnitEvent } from '../../toolchain/supervisor.ts';
import { temporaryDir } from './fixtures.ts';

const fixture = fileURLToPath(new URL('./unit-fixture.ts', import.meta.url));

interface Scene {
  readonly supervisor: Supervisor;
  readonly events: UnitEvent[];
  /** Lines that the processes wrote: `<what> <name> <pid>`. */
  readonly notes: () => string[];
  readonly start: (name: string, mode?: string) => () => Promise<RunningUnit>;
}

function scene(): Scene {
  const file = join(temporaryDir(), 'notes');
  const events: UnitEvent[] = [];
  const supervisor = createSupervisor({ onEvent: (event) => events.push(event), firstBackoffMs: 20, maxBackoffMs: 50 });
  onTestFinished(() => supervisor.stop());
  const notes = (): string[] => (existsSync(file) ? readFileSync(file, 'utf8').trimEnd().split('\n') : []);
  const start =
    (name: string, mode = '') =>
    () =>
      launch({
        command: process.execPath,
        args: ['--import', 'tsx', fixture, file, name, mode],
        env: { PATH: '/usr/bin:/bin' },
        logFile: null,
        stopGraceMs: 500,
      });
  return { supervisor, events, notes, start };
}
const said = ({ notes }: Scene, what: string): string[] =>
  notes()
    .filter((line) => line.startsWith(`${what} `))
    .map((line) => line.split(' ')[1] ?? '');

test('a process that dies is started again, as often as it dies', async () => {
  const it = scene();
  const first = await it.supervisor.run('worker', it.start('worker'));
  expect(await waitFor(async () => said(it, 'start').length === 1, 10_000)).toBe(true);
  process.kill(first.identity.pid, 'SIGKILL');
  expect(await waitFor(async () => said(it, 'start').length === 2, 10_000)).toBe(true);
  const [unit] = it.supervisor.units();
  expect(unit?.restarts).toBe(1);
  expect(unit?.running.identity.pid).not.toBe(first.identity.pid);
  expect(it.events.map(({ kind }) => kind)).toEqual(['started', 'exited', 'started']);
  expect(it.events[1]).toMatchObject({ exit: { signal: 'SIGKILL' } });
});

test('the wait between restarts grows while a process keeps dying, up to the limit', async () => {
  const it = scene();
  await it.supervisor.run('worker', it.start('worker', 'exit:0'));
  const waits = (): number[] => it.events.flatMap((event) => (event.kind === 'exited' ? [event.restartInMs] : []));
  expect(await waitFor(async () => waits().length >= 4, 20_000)).toBe(true);
  expect(waits().slice(0, 4)).toEqual([20, 40, 50, 50]);
});

test('stopping ends everything in the reverse order of the start, one after the other', async () => {
  const it = scene();
  for (const name of ['database', 'api', 'worker']) await it.supervisor.run(name, it.start(name));
  expect(await waitFor(async () => said(it, 'start').length === 3, 10_000)).toBe(true);
  const identities = it.supervisor.units().map(({ running }) => running.identity);
  await it.supervisor.stop();
  expect(said(it, 'stop')).toEqual(['worker', 'api', 'database']);
  for (const identity of identities) expect(await isAlive(identity)).toBe(false);
  expect(said(it, 'start')).toHaveLength(3);
});

test('a process that ignores the request to end is killed after its grace', async () => {
  const it = scene();
  const { identity } = await it.supervisor.run('worker', it.start('worker', 'stubborn'));
  expect(await waitFor(async () => said(it, 'start').length === 1, 10_000)).toBe(true);
  await it.supervisor.stop();
  expect(await isAlive(identity)).toBe(false);
});

test('nothing is started once stopping has begun, not even what was on its way', async () => {
  const it = scene();
  const slow = it.supervisor.run('slow', async () => {
    const running = await it.start('slow')();
    await it.supervisor.stop();
    return running;
  });
  await expect(slow).rejects.toThrow('slow was stopped while starting');
  await expect(it.supervisor.run('late', it.start('late'))).rejects.toThrow('everything is being stopped');
  expect(it.supervisor.units()).toEqual([]);
});

test('a restart that fails is reported and tried again', async () => {
  const it = scene();
  let calls = 0;
  const first = await it.supervisor.run('worker', async () => {
    calls += 1;
    if (calls === 2) throw new Error('port is taken');
    return it.start('worker')();
  });
  process.kill(first.identity.pid, 'SIGKILL');
  expect(await waitFor(async () => it.supervisor.units()[0]?.restarts === 1, 10_000)).toBe(true);
  expect(it.events).toContainEqual(expect.objectContaining({ kind: 'restart-failed', reason: 'port is taken' }));
});
