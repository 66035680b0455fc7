import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, inject, test } from 'vitest';
import { createOutputReader } from '../../terraform/output.ts';
import { interruptRun, killRun, stdoutFile } from '../../terraform/run-directory.ts';
import { type Shims, createShims } from '../../terraform/shims.ts';
import { objectIds, parseState } from '../../terraform/state.ts';
import { tailLines } from '../../terraform/tail.ts';
import { waitFor } from '../support/wait.ts';
import { jobDirectory, membersOf, pidOf, scriptCommand, startCommand } from './support/shim-runs.ts';
import { mustRun, scratchDir, terraformEnv } from './support/terraform-runs.ts';

let shims: Shims;
let dir: string;
let outputDir: string;
beforeAll(() => {
  shims = createShims();
});
afterAll(() => shims.close());
beforeEach(async () => {
  dir = await scratchDir();
  outputDir = jobDirectory(dir).next();
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const tools = () => ({ terraformPath: inject('terraformPath'), tfCliConfig: inject('tfCliConfig') });
const terraform = (args: string[], env: Record<string, string> = {}) =>
  startCommand(shims, {
    ...scriptCommand(dir, outputDir, ''),
    binary: tools().terraformPath,
    args,
    env: terraformEnv(tools(), env),
  });
const applyArgs = ['apply', '-no-color', '-auto-approve', '-input=false', '-json'];

test('a canceled apply ends fast, taints what was half made, and leaves no process', async () => {
  const config = [
    'resource "terraform_data" "quick" {}',
    'resource "terraform_data" "slow" {',
    '  input = terraform_data.quick.id',
    '  provisioner "local-exec" {',
    '    command = "trap \'\' INT; echo begun; sleep 300 & sleep 300"',
    '  }',
    '}',
  ].join('\n');
  await writeFile(join(dir, 'main.tf'), config);
  await mustRun(tools(), dir, ['init', '-input=false']);
  const { end } = terraform(applyArgs);
  const pid = await pidOf(outputDir);
  const reader = createOutputReader({ stage: 'apply' });
  let interruptedAt = 0;
  for await (const { line } of tailLines(stdoutFile(outputDir), { until: end })) {
    reader.push(line);
    // Not before its command runs: an interrupt that is faster leaves a provisioner without an end.
    if (interruptedAt === 0 && line.includes('"output":"begun"')) {
      expect(reader.progress()).toEqual({
        announced: ['terraform_data.quick', 'terraform_data.slow'],
        begun: ['terraform_data.quick', 'terraform_data.slow'],
        created: ['terraform_data.quick'],
        failed: [],
        complete: false,
      });
      interruptedAt = performance.now();
      interruptRun(outputDir, 'canceled');
    }
  }
  expect(await end).toMatchObject({ kind: 'ended', exit: { code: 1 } });
  expect(performance.now() - interruptedAt).toBeLessThan(5_000);
  await waitFor('the end of the group', async () => membersOf(pid).length === 0);

  const { timings, firstError } = reader.result();
  expect(firstError).toMatch(/halted|interrupt|error/i);
  expect(reader.progress()).toMatchObject({ begun: ['terraform_data.quick'], complete: false });
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

/** What continue-build.ts rests on: Terraform itself does not look at such an object again. */
test('an object whose provisioner was cut off stands in the state as if it were whole, and is made anew only by -replace', async () => {
  const config = [
    'resource "terraform_data" "slow" {',
    '  provisioner "local-exec" { command = "sleep 300" }',
    '}',
    'resource "terraform_data" "quick" {',
    '  provisioner "local-exec" { command = "sleep 0.5" }',
    '}',
  ].join('\n');
  await writeFile(join(dir, 'main.tf'), config);
  await mustRun(tools(), dir, ['init', '-input=false']);
  const { end } = terraform(applyArgs);
  const state = () => readFile(join(dir, 'terraform.tfstate')).catch(() => undefined);
  await waitFor('the quick one', async () => objectIds(await state()).has('terraform_data.quick'));
  killRun(outputDir, 'test');
  expect(await end).toMatchObject({ exit: { signal: 'SIGKILL' } });
  const ids = objectIds(await state());
  expect([...ids.keys()].toSorted()).toEqual(['terraform_data.quick', 'terraform_data.slow']);
  expect(String(await state())).not.toContain('tainted');

  await writeFile(join(dir, 'main.tf'), config.replace('sleep 300', 'true'));
  const plan = (...more: string[]) => mustRun(tools(), dir, ['plan', '-no-color', '-input=false', '-json', ...more]);
  expect(await plan()).toContain('"add":0');
  expect(await plan('-replace=terraform_data.slow')).toContain('"add":1');
});

test('while a plan runs, its command line shows no variable', async () => {
  const config = [
    'variable "secret" { sensitive = true }',
    'resource "terraform_data" "x" {',
    '  provisioner "local-exec" { command = "sleep 60" }',
    '}',
  ].join('\n');
  await writeFile(join(dir, 'main.tf'), config);
  await mustRun(tools(), dir, ['init', '-input=false']);
  const { end } = terraform(applyArgs, { TF_VAR_secret: 'sesame-open' });
  const pid = await pidOf(outputDir);
  const commandLine = await waitFor('terraform', async () => {
    const text = await readFile(`/proc/${pid}/cmdline`, 'utf8');
    return text.startsWith(tools().terraformPath) ? text : undefined;
  });
  killRun(outputDir, 'test');
  await end;
  expect(commandLine).toContain('apply');
  expect(commandLine).not.toContain('sesame-open');
});
