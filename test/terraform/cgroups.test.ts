import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createCgroups } from '../../activities/cgroups.ts';

/** The files of a delegated cgroup v2 directory, as the kernel shows them. */
let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'berth-cgroup-'));
  writeFileSync(join(root, 'cgroup.controllers'), 'cpu memory pids\n');
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

test('a job gets a cgroup of its own with the limits; without a directory there are none', () => {
  expect(createCgroups(undefined, { maxProcesses: 10, maxMemoryBytes: 0 })).toBeNull();
  const cgroup = createCgroups(root, { maxProcesses: 500, maxMemoryBytes: 1_000_000 })!;
  expect(readFileSync(join(root, 'cgroup.subtree_control'), 'utf8')).toBe('+pids +memory');
  const directory = cgroup('a-job');
  expect(directory).toBe(join(root, 'job-a-job'));
  expect(readFileSync(join(directory, 'pids.max'), 'utf8')).toBe('500');
  expect(readFileSync(join(directory, 'memory.max'), 'utf8')).toBe('1000000');
});

test('cgroups of earlier jobs go when they are empty, those of workspaces that live on stay', () => {
  const cgroup = createCgroups(root, { maxProcesses: 0, maxMemoryBytes: 0 })!;
  mkdirSync(join(root, 'job-over'));
  mkdirSync(join(root, 'job-alive'));
  writeFileSync(join(root, 'job-alive', 'something'), '');
  cgroup('next');
  expect(['job-over', 'job-alive', 'job-next'].map((name) => existsSync(join(root, name)))).toEqual([
    false,
    true,
    true,
  ]);
});

test('limits that cannot be kept are an error at the start, not a surprise later', () => {
  writeFileSync(join(root, 'cgroup.controllers'), 'cpu\n');
  expect(() => createCgroups(root, { maxProcesses: 1, maxMemoryBytes: 1 })).toThrow(/no controller pids, memory/);
  expect(() => createCgroups('/nowhere', { maxProcesses: 1, maxMemoryBytes: 0 })).toThrow(
    /BERTH_CGROUP_ROOT \/nowhere is not usable/,
  );
});
