import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { type AddressInfo, type Server, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { judgeCancels, judgeCreations } from '../../../faults/five-times.ts';
import type { JobRow } from '../../../faults/job-watch.ts';
import { compareWithRows } from '../../../faults/log-follower.ts';
import type { Finding } from '../../../faults/oracle.ts';
import { eventually } from '../../../faults/patience.ts';
import { startPausingProxy } from '../../../faults/pausing-proxy.ts';
import { cutPower, isRunning, processesBelow, processesOfHost } from '../../../faults/process-table.ts';
import { hasRecovered } from '../../../faults/recovery.ts';
import { changedRows } from '../../../faults/rows.ts';
import { createRun } from '../../../faults/run.ts';
import { createSmallDisk } from '../../../faults/small-disk.ts';
import { meetsGoals, tallyOf } from '../../../faults/tally.ts';

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'berth-instruments-'));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

describe('the proxy of a partition', () => {
  let echo: Server;
  beforeAll(async () => {
    echo = createServer((socket) => socket.pipe(socket));
    echo.listen(0, '127.0.0.1');
    await once(echo, 'listening');
  });
  afterAll(() => echo.close());
  const throughProxy = async () => {
    const proxy = await startPausingProxy({ host: '127.0.0.1', port: (echo.address() as AddressInfo).port });
    const open = () => {
      const socket = connect({ host: '127.0.0.1', port: proxy.port });
      const seen = { text: '', ended: false };
      socket.on('data', (chunk) => (seen.text += chunk.toString()));
      socket.on('end', () => (seen.ended = true));
      return { socket, seen };
    };
    return { proxy, open };
  };
  const soon = { boundMs: 5_000 };

  test('passes everything on, holds it back while paused, and passes it on late', async () => {
    const { proxy, open } = await throughProxy();
    const first = open();
    first.socket.write('one ');
    expect(await eventually(() => first.seen.text === 'one ', soon)).toBe(true);
    proxy.pause();
    first.socket.write('two');
    const second = open();
    second.socket.write('hello');
    // Nothing comes for a while, and nobody is told.
    expect(await eventually(() => first.seen.text !== 'one ' || second.seen.text !== '', { boundMs: 300 })).toBe(
      undefined,
    );
    proxy.resume();
    expect(await eventually(() => first.seen.text === 'one two' && second.seen.text === 'hello', soon)).toBe(true);
    proxy.close();
  });

  test('hides the end of a connection as well', async () => {
    const { proxy, open } = await throughProxy();
    const { socket, seen } = open();
    socket.write('x');
    expect(await eventually(() => seen.text === 'x', soon)).toBe(true);
    proxy.pause();
    socket.end();
    expect(await eventually(() => seen.ended, { boundMs: 300 })).toBe(undefined);
    proxy.resume();
    expect(await eventually(() => seen.ended, soon)).toBe(true);
    proxy.close();
  });
});

test.for([
  { rights: 'of root', isRoot: true },
  { rights: 'of a user namespace', isRoot: false },
])(
  'a small disk with the rights $rights can be filled and emptied under a running process',
  async ({ isRoot }, { skip }) => {
    if (isRoot && process.getuid?.() !== 0) skip('not run by root');
    const disk = await createSmallDisk(join(directory, `disk-${isRoot}`), { megabytes: 4, isRoot });
    // Says `full` or `free` for each line that it gets, once the page of its own probe is given back.
    const script = `cd "$1" && while read -r _; do echo text > probe 2>/dev/null && said=free || said=full; rm -f probe; echo $said; done`;
    const [command = '', ...args] = disk.wrap(['/bin/sh', '-c', script, 'sh', disk.directory]);
    const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    const ask = async (): Promise<string> => {
      child.stdin.write('\n');
      const [answer] = (await once(child.stdout, 'data')) as [Buffer];
      return answer.toString().trim();
    };
    try {
      expect(await ask()).toBe('free');
      expect(processesBelow(disk.directory).map(({ pid }) => pid)).toContain(child.pid);
      disk.fill(child.pid!);
      expect(await ask()).toBe('full');
      disk.empty(child.pid!);
      expect(await ask()).toBe('free');
    } finally {
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
  },
);

test('a host that loses its power loses its worker, what runs in its work root, and nothing else', async () => {
  const start = (cwd: string) => spawn('/bin/sh', ['-c', 'sleep 60 & wait'], { cwd, detached: true, stdio: 'ignore' });
  const [worker, inside, outside] = [start('/'), start(directory), start('/')];
  const grown = () => processesOfHost(directory, worker.pid!).length === 4;
  expect(await eventually(grown, { boundMs: 5_000 })).toBe(true);
  const ends = [worker, inside].map((child) => once(child, 'exit'));
  cutPower(() => processesOfHost(directory, worker.pid!));
  await Promise.all(ends);
  expect(await eventually(() => processesBelow(directory).length === 0, { boundMs: 5_000 })).toBe(true);
  expect(isRunning(outside.pid!)).toBe(true);
  process.kill(-outside.pid!, 'SIGKILL');
});

test('what a reader got of a log is compared row by row with what is stored', () => {
  expect(compareWithRows([1, 2, 5], [1, 2, 5])).toEqual([]);
  expect(compareWithRows([1, 2, 2, 5], [1, 2, 5])).toEqual(['1 rows came twice']);
  expect(compareWithRows([1, 5], [1, 2, 5])).toEqual(['1 rows never came: 2']);
  expect(compareWithRows([1, 5, 2], [1, 2, 5])).toEqual(['the rows came out of order']);
  expect(compareWithRows([1, 2, 3], [1, 2])).toEqual(['1 rows came that are not stored: 3']);
  expect(compareWithRows([], [])).toEqual(['no row is stored']);
});

test('a later write is found whatever it changed', () => {
  const rows = { job: 'a', build: 'b', log: 'c', state: 'd' };
  expect(changedRows(rows, { ...rows })).toEqual([]);
  for (const name of Object.keys(rows)) expect(changedRows(rows, { ...rows, [name]: 'x' })).toHaveLength(1);
});

test('five answers to one call are right only when exactly one thing was made', () => {
  const created = (id: string) => ({ status: 201, body: { id } });
  const [conflict, failure] = [
    { status: 409, body: {} },
    { status: 500, body: {} },
  ];
  const again = async () => conflict;
  const kinds = (keyed: boolean, answers: { status: number; body: { id?: string } }[]) =>
    judgeCreations({ keyed, answers, again }).map(({ kind }) => kind);
  expect(
    kinds(
      true,
      Array.from({ length: 5 }, () => created('a')),
    ),
  ).toEqual([]);
  expect(kinds(true, [...Array.from({ length: 4 }, () => created('a')), created('b')])).toEqual(['wrong']);
  expect(kinds(false, [created('a'), conflict, conflict, conflict, conflict])).toEqual([]);
  expect(kinds(false, [created('a'), created('b'), conflict, conflict, conflict])).toEqual(['wrong']);
  expect(kinds(false, [created('a'), conflict, conflict, conflict, failure])).toEqual(['wrong']);
  const cancels = (accepted: number) =>
    Array.from({ length: 5 }, (_, i) => ({ status: i < accepted ? 200 : 400, body: {} }));
  const wrong = (accepted: number, status: string) =>
    judgeCancels({ keyed: false, answers: cancels(accepted), again }, status).length;
  expect([wrong(1, 'canceled'), wrong(0, 'succeeded')]).toEqual([0, 0]);
  expect([wrong(2, 'canceled'), wrong(0, 'canceled'), wrong(1, 'succeeded')]).toEqual([1, 1, 1]);
});

test('a job has recovered when it was taken again, its lease was renewed after the fault, or it is over', () => {
  const atFault: JobRow = {
    id: 'j',
    status: 'running',
    attempt: 1,
    leaseUntilMs: 1_000,
    hostId: 'h',
    over: false,
    error: null,
    stateSerial: 3,
  };
  const recovered = (sign: 'held' | 'over', now: Partial<JobRow>, atFaultEnd?: JobRow) =>
    hasRecovered(sign, { atFault, atFaultEnd, now: { ...atFault, ...now } });
  expect(recovered('held', {}, atFault)).toBe(false);
  expect(recovered('held', { attempt: 2 })).toBe(true);
  expect(recovered('held', { over: true })).toBe(true);
  // Renewed while the fault still lasted: says nothing.
  expect(recovered('held', { leaseUntilMs: 2_000 })).toBe(false);
  expect(recovered('held', { leaseUntilMs: 2_000 }, { ...atFault, leaseUntilMs: 2_000 })).toBe(false);
  expect(recovered('held', { leaseUntilMs: 3_000 }, { ...atFault, leaseUntilMs: 2_000 })).toBe(true);
  expect(recovered('over', { attempt: 2, leaseUntilMs: 3_000 }, atFault)).toBe(false);
});

test('the figures count what was found and the goals hold only when nothing was', () => {
  const run = (recoveryMs: number | null, ...kinds: Finding['kind'][]) => {
    const made = createRun({ scenario: 's', seed: 1, size: 1, name: 'w' });
    made.findings.push(...kinds.map((kind) => ({ kind, what: kind })));
    made.recoveryMs = recoveryMs;
    return made;
  };
  const good = tallyOf('s', [run(5), run(null), run(7)]);
  expect(good).toEqual({
    scenario: 's',
    runs: 3,
    ok: 3,
    lost: 0,
    orphans: 0,
    double_applies: 0,
    stuck: 0,
    duplicates: 0,
    two_owners: 0,
    reinits: null,
    p95_recovery_ms: 7,
  });
  expect(meetsGoals(good)).toBe(true);
  const bad = tallyOf('s', [run(null, 'lost', 'lost', 'orphan'), run(null, 'double_apply', 'stuck'), run(null)]);
  expect(bad).toMatchObject({ ok: 1, lost: 2, orphans: 1, double_applies: 1, stuck: 1, p95_recovery_ms: null });
  for (const kind of ['lost', 'orphan', 'double_apply', 'stuck', 'duplicate', 'two_owners', 'wrong'] as const)
    expect(meetsGoals(tallyOf('s', [run(null), run(null, kind)]))).toBe(false);
  expect(meetsGoals(tallyOf('s', []))).toBe(false);
});
