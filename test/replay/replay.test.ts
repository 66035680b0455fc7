import { type WorkflowBundle, Worker, bundleWorkflowCode } from '@temporalio/worker';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, expect, test } from 'vitest';

const histories = fileURLToPath(new URL('./histories', import.meta.url));
const workflowsPath = fileURLToPath(new URL('../../workflows/index.ts', import.meta.url));
const cases = readdirSync(histories).flatMap((workflow) =>
  readdirSync(join(histories, workflow)).map((file) => ({ workflow, file })),
);

let workflowBundle: WorkflowBundle;
beforeAll(async () => {
  workflowBundle = await bundleWorkflowCode({ workflowsPath });
});

test('there are recorded histories to replay', () => {
  expect(cases.length).toBeGreaterThanOrEqual(9);
});

test.each(cases)('$workflow replays $file as it was recorded', { timeout: 60_000 }, async ({ workflow, file }) => {
  const history: unknown = JSON.parse(readFileSync(join(histories, workflow, file), 'utf8'));
  await Worker.runReplayHistory({ workflowBundle }, history, `replay/${file}`);
});

test('a history that the code would not write is refused', { timeout: 60_000 }, async () => {
  const text = readFileSync(join(histories, 'buildWorkspace', 'succeeded.json'), 'utf8');
  const history: unknown = JSON.parse(text.replaceAll('"runTerraform"', '"runSomethingElse"'));
  await expect(Worker.runReplayHistory({ workflowBundle }, history, 'replay/forged')).rejects.toThrow(
    /Nondeterminism|TMPRL1100/,
  );
});
