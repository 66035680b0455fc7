import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { workerEnvironment } from '../../config.ts';
import { waitFor } from '../../toolchain/process.ts';
import { startCliStack, templateDirectory } from './support/cli-stack.ts';
import type { CliStack } from './support/cli-stack.ts';

// The program itself: signals, pipes and exit codes as a shell sees them.
let stack: CliStack;
beforeAll(async () => {
  stack = await startCliStack();
  const pushed = await stack.cli('templates', 'push', templateDirectory('slow'));
  expect(pushed, pushed.stderr).toMatchObject({ code: 0 });
}, 120_000);
afterAll(() => stack.stop());

const entry = fileURLToPath(new URL('../../cli/main.ts', import.meta.url));

function berth(...args: string[]) {
  const child = spawn(process.execPath, ['--import', 'tsx', entry, ...args], {
    env: { ...workerEnvironment(), BERTH_CONFIG_DIR: stack.cli.configDir },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const said = { stdout: '', stderr: '' };
  child.stdout.on('data', (chunk: Buffer) => (said.stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (said.stderr += chunk.toString()));
  const ended = new Promise<number | null>((done) => child.once('close', done));
  return { child, said, ended };
}

test('Ctrl-C while a build is followed exits 130 and says how to cancel it; a build that ends well exits 0', async () => {
  const { child, said, ended } = berth('create', 'spawned', '-t', 'slow', '-p', 'lines=60');
  expect(await waitFor(async () => said.stdout.includes('line 1\n'), 30_000)).toBe(true);
  child.kill('SIGINT');
  expect(await ended).toBe(130);
  expect(said.stderr).toContain('berth cancel spawned');
  const again = berth('logs', '-f', 'spawned');
  expect(await again.ended, again.said.stderr).toBe(0);
  expect(again.said.stdout).toContain('line 60\n');
  // Piped output has neither colours nor cursor movements.
  expect(again.said.stdout).not.toContain('\u001B');
});

test('standard output is one JSON document, the log goes to standard error', async () => {
  const { said, ended } = berth('stop', 'spawned', '--json');
  expect(await ended, said.stderr).toBe(0);
  expect(JSON.parse(said.stdout)).toMatchObject({ transition: 'stop', status: 'stopped' });
  expect(said.stderr).toContain('Apply complete!');
});

test('a reader that goes away early is no failure', async () => {
  const { child, said, ended } = berth('logs', 'spawned', '--build', '1');
  child.stdout.destroy();
  expect(await ended, said.stderr).toBe(0);
});
