import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pico from 'picocolors';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { createClient } from '../../cli/client.ts';
import { createOutput } from '../../cli/output.ts';
import { clearAway, runDemo } from '../../scripts/demo/main-job.ts';
import { reportText } from '../../scripts/demo/report.ts';
import { startCliStack } from './support/cli-stack.ts';
import type { CliStack } from './support/cli-stack.ts';

let stack: CliStack;
beforeAll(async () => {
  stack = await startCliStack({ TEMPORAL_UI_URL: 'http://127.0.0.1:8233' }, { reconcileEveryMs: 60_000 });
}, 120_000);
afterAll(() => stack.stop());

function demoRun(onText: (text: string) => void = () => {}) {
  const baseDirectory = mkdtempSync(join(tmpdir(), 'berth-demo-'));
  onTestFinished(() => rmSync(baseDirectory, { recursive: true, force: true }));
  const stream = { write: onText };
  const interrupt = new AbortController();
  return {
    interrupt,
    client: createClient({ url: stack.url, token: stack.api.ownerToken }),
    output: createOutput({ stdout: stream, stderr: stream, json: false, noColor: true, ci: true }),
    signal: interrupt.signal,
    baseDirectory,
  };
}
const leftovers = async (): Promise<unknown> => (await stack.cli('list', '--json')).json();

test('the demo does the main job, leaves nothing, and can be repeated', { timeout: 240_000 }, async () => {
  for (let round = 0; round < 2; round += 1) {
    const run = demoRun();
    const report = await runDemo(run);
    expect(report.steps.map(({ job }) => job.status)).toEqual(Array.from({ length: 8 }, () => 'succeeded'));
    const text = reportText(report, pico.createColors(false));
    const links = text.match(
      /http:\/\/127\.0\.0\.1:8233\/namespaces\/default\/workflows\/(import|build)%2F[0-9a-f-]{36}$/gm,
    );
    expect(links).toHaveLength(8);
    expect(readdirSync(run.baseDirectory)).toEqual([]);
    expect(await leftovers()).toEqual({ workspaces: [], count: 0 });
    expect((await stack.cli('templates', 'list', '--json')).json()).toEqual([]);
  }
});

test('a demo that is interrupted clears away what it has made', async () => {
  const run = demoRun((text) => {
    if (text.includes('Apply complete!')) run.interrupt.abort();
  });
  await expect(runDemo(run)).rejects.toThrow('interrupted during the start');
  expect(readdirSync(run.baseDirectory)).toHaveLength(1);
  await clearAway(run);
  expect(readdirSync(run.baseDirectory)).toEqual([]);
  expect(await leftovers()).toEqual({ workspaces: [], count: 0 });
});
