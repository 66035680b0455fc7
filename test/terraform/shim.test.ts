import { chmod, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, inject, test } from 'vitest';
import { DomainError } from '../../domain/errors.ts';
import { killLeftover } from '../../terraform/leftover.ts';
import { createOutputReader } from '../../terraform/output.ts';
import { processStat } from '../../terraform/process-identity.ts';
import { type TerraformProcess, processFile, startTerraform, stderrFile, stdoutFile } from '../../terraform/run.ts';
import { parseState } from '../../terraform/state.ts';
import { tailLines } from '../../terraform/tail.ts';
import { mustRun, scratchDir, terraformEnv } from './support/terraform-runs.ts';

let dir: string;
beforeEach(async () => {
  dir = await scratchDir();
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const tools = () => ({ terraformPath: inject('terraformPath'), tfCliConfig: inject('tfCliConfig') });
const outputDir = () => join(dir, 'run');

/** A stand-in for terraform: what happens is a shell script. */
async function startScript(script: string): Promise<TerraformProcess> {
  const binary = join(dir, 'fake-terraform');
  await writeFile(binary, `#!/bin/sh\n${script}\n`);
  await chmod(binary, 0o755);
  return startTerraform({ binary, args: ['apply'], cwd: dir, env: { PATH: '/usr/bin:/bin' }, outputDir: outputDir() });
}

/** Living processes of the group. */
const membersOf = (groupId: number): number[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => processStat(pid)?.groupId === groupId);

async function until(condition: () => boolean | Promise<boolean>, timeoutMs = 10_000): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error('the condition was not met in time');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
const has = async (path: string, text: string) => (await readFile(path, 'utf8').catch(() => '')).includes(text);

describe('a run', () => {
  test('writes its output to files that only the owner reads, and gives the exit code', async () => {
    const { exited } = await startScript('echo out; echo err >&2; cat; exit 3');
    expect(await exited).toEqual({ code: 3, signal: null });
    expect(await readFile(stdoutFile(outputDir()), 'utf8')).toBe('out\n');
    expect(await readFile(stderrFile(outputDir()), 'utf8')).toBe('err\n');
    for (const path of [stdoutFile(outputDir()), stderrFile(outputDir()), processFile(outputDir())])
      expect((await stat(path)).mode & 0o777).toBe(0o600);
  });

  test('sees the given environment and nothing else', async () => {
    const { exited } = await startScript('env');
    await exited;
    const names = (await readFile(stdoutFile(outputDir()), 'utf8')).split('\n').map((line) => line.split('=')[0]);
    expect(names.filter((name) => !['PATH', 'PWD', 'SHLVL', '_', 'OLDPWD', ''].includes(name ?? ''))).toEqual([]);
  });

  test('is a group of its own, recorded with pid and start time', async () => {
    const process = await startScript('sleep 60');
    const record = JSON.parse(await readFile(processFile(outputDir()), 'utf8')) as Record<string, unknown>;
    const found = processStat(process.pid);
    expect(found).toMatchObject({ groupId: process.pid, sessionId: process.pid });
    expect(record).toMatchObject({ pid: process.pid, startTime: found?.startTime });
    process.killGroup();
    expect(await process.exited).toEqual({ code: null, signal: 'SIGKILL' });
  });

  test('leaves no child behind, whatever way it ends', async () => {
    const process = await startScript('sh -c "trap \'\' INT TERM; sleep 60" & sleep 0.2; exit 0');
    expect(await process.exited).toEqual({ code: 0, signal: null });
    await until(() => membersOf(process.pid).length === 0);
  });

  test('gets one interrupt only, however often it is asked, and its children get none', async () => {
    const script = [
      'trap "echo interrupted; count=x$count" INT',
      '(trap "echo child; exit" INT; while :; do sleep 0.05; done) &',
      'echo ready',
      'n=0; while [ $n -lt 20 ]; do sleep 0.05; n=$((n+1)); done',
      'echo end $count',
    ].join('\n');
    const process = await startScript(script);
    await until(() => has(stdoutFile(outputDir()), 'ready'));
    for (let i = 0; i < 5; i++) process.interrupt();
    await process.exited;
    process.interrupt();
    process.killGroup();
    expect(await readFile(stdoutFile(outputDir()), 'utf8')).toBe('ready\ninterrupted\nend x\n');
  });

  test.each([
    ['the binary is missing', { binary: '/nowhere/terraform' }],
    ['the binary is no program', { binary: '/etc/passwd' }],
    ['the directory is missing', { cwd: '/nowhere' }],
  ])('that cannot start is a failure with a reason: %s', (_title, wrong) => {
    const options = { binary: '/bin/sh', args: [], cwd: dir, env: {}, outputDir: outputDir(), ...wrong };
    expect(() => startTerraform(options)).toThrow(DomainError);
  });
});

describe('a leftover', () => {
  test('is killed with its group', async () => {
    const process = await startScript('sleep 60 & sleep 60');
    await until(() => membersOf(process.pid).length === 3);
    expect(await killLeftover(outputDir())).toBe(true);
    expect((await process.exited).signal).toBe('SIGKILL');
    expect(await killLeftover(outputDir())).toBe(false);
  });

  test('is not what only has the same pid', async () => {
    const process = await startScript('sleep 60');
    const record = JSON.parse(await readFile(processFile(outputDir()), 'utf8')) as Record<string, unknown>;
    for (const changed of [
      { startTime: '1' },
      { bootId: 'another boot' },
      { startTime: null },
      { pid: 1 },
      { pid: 'x' },
    ]) {
      await writeFile(processFile(outputDir()), JSON.stringify({ ...record, ...changed }));
      expect(await killLeftover(outputDir())).toBe(false);
    }
    expect(membersOf(process.pid)).toContain(process.pid);
    process.killGroup();
    await process.exited;
  });

  test('is also a group whose leader is gone', async () => {
    // The leader here is a child of the test and would be reaped by it; a stranger's group stands for it.
    const process = await startScript('setsid sh -c "sleep 60 & echo \\$\\$ > leader; sleep 0.3" & wait');
    const leaderFile = join(dir, 'leader');
    await until(() => has(leaderFile, '\n'));
    const leader = Number(await readFile(leaderFile, 'utf8'));
    const record = JSON.parse(await readFile(processFile(outputDir()), 'utf8')) as Record<string, unknown>;
    await until(() => processStat(leader) === null);
    expect(membersOf(leader)).toHaveLength(1);
    await writeFile(processFile(outputDir()), JSON.stringify({ ...record, pid: leader }));
    expect(await killLeftover(outputDir())).toBe(true);
    await until(() => membersOf(leader).length === 0);
    await process.exited;
  });

  test('needs a record that can be read', async () => {
    expect(await killLeftover(dir)).toBe(false);
    await writeFile(processFile(dir), '{"pid":');
    expect(await killLeftover(dir)).toBe(false);
  });
});

test('a canceled apply ends fast, taints what was half made, and leaves no process', async () => {
  const config = [
    'resource "terraform_data" "quick" {}',
    'resource "terraform_data" "slow" {',
    '  input = terraform_data.quick.id',
    '  provisioner "local-exec" {',
    '    command = "trap \'\' INT; sleep 300 & sleep 300"',
    '  }',
    '}',
  ].join('\n');
  await writeFile(join(dir, 'main.tf'), config);
  await mustRun(tools(), dir, ['init', '-input=false']);
  const process = startTerraform({
    binary: tools().terraformPath,
    args: ['apply', '-no-color', '-auto-approve', '-input=false', '-json'],
    cwd: dir,
    env: terraformEnv(tools()),
    outputDir: outputDir(),
  });
  const reader = createOutputReader({ stage: 'apply' });
  let interruptedAt = 0;
  for await (const { line } of tailLines(stdoutFile(outputDir()), { until: process.exited })) {
    reader.push(line);
    if (interruptedAt === 0 && line.includes('"type":"provision_start"')) {
      expect(reader.result().inFlight).toEqual(['terraform_data.slow']);
      interruptedAt = performance.now();
      process.interrupt();
    }
  }
  expect((await process.exited).code).toBe(1);
  expect(performance.now() - interruptedAt).toBeLessThan(5_000);
  await until(() => membersOf(process.pid).length === 0);

  const { timings, firstError, inFlight } = reader.result();
  expect(firstError).toMatch(/halted|interrupt|error/i);
  expect(inFlight).toEqual([]);
  // Errored operations have rows, too.
  expect(timings.map((timing) => `${timing.resource} ${timing.action}`).toSorted()).toEqual([
    'coder_stage_apply terraform',
    'terraform_data.quick create',
    'terraform_data.slow create',
    'terraform_data.slow provision',
  ]);
  const bytes = await readFile(join(dir, 'terraform.tfstate'), 'utf8');
  expect(parseState(bytes)?.instances.map((one) => one.address)).toEqual([
    'terraform_data.quick',
    'terraform_data.slow',
  ]);
  expect(bytes).toContain('"status": "tainted"');
});

test('while a plan runs, its command line shows no variable', async () => {
  await writeFile(
    join(dir, 'main.tf'),
    'variable "secret" { sensitive = true }\ndata "external" "x" { program = [] }\n',
  );
  const process = startTerraform({
    binary: tools().terraformPath,
    args: ['console', '-no-color'],
    cwd: dir,
    env: terraformEnv(tools(), { TF_VAR_secret: 'sesame-open' }),
    outputDir: outputDir(),
  });
  const commandLine = await readFile(`/proc/${process.pid}/cmdline`, 'utf8');
  process.killGroup();
  await process.exited;
  expect(commandLine).toContain('console');
  expect(commandLine).not.toContain('sesame-open');
});
