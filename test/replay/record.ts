import { ApplicationFailure, Context } from '@temporalio/activity';
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadConfig } from '../../config.ts';
import { type WorkflowRig, startWorkflowRig } from '../workflows/support.ts';

/**
 * Records histories for test/replay: `TEMPORAL_ADDRESS=… TEMPORAL_CLI_PATH=… npx tsx test/replay/record.ts`. Only for new behaviour: a change that
 * breaks a recorded history needs a patch in the workflow, not a new recording.
 */
const failure = (type: string) => ApplicationFailure.nonRetryable(type, type);
const cases: Readonly<Record<string, (rig: WorkflowRig) => Promise<void>>> = {
  async succeeded(rig) {
    rig.activities.runTerraform = async () => 'succeeded';
  },
  async 'lease-held-then-succeeded'(rig) {
    let tries = 0;
    rig.activities.runTerraform = async () => {
      tries += 1;
      if (tries === 1) throw failure('UNAVAILABLE');
      if (tries === 2) throw failure('WORKER_STOPPED');
      return 'succeeded';
    };
  },
  async 'canceled-while-running'(rig) {
    rig.activities.runTerraform = async () => {
      const beat = setInterval(() => Context.current().heartbeat(), 200);
      await Context.current().cancelled.catch(() => undefined);
      clearInterval(beat);
      return 'canceled';
    };
  },
  async 'ended-by-the-workflow'(rig) {
    rig.activities.runTerraform = async () => {
      throw failure('NOT_FOUND');
    };
  },
};

const { TEMPORAL_ADDRESS: address = '127.0.0.1:7233', TEMPORAL_CLI_PATH: cli = 'temporal' } = loadConfig();
const rig = await startWorkflowRig(address);
for (const [name, arrange] of Object.entries(cases)) {
  await arrange(rig);
  const handle = await rig.startBuild();
  if (name.startsWith('canceled')) {
    await new Promise((done) => setTimeout(done, 1_000));
    await handle.cancel();
  }
  await handle.result();
  const path = join(dirname(fileURLToPath(import.meta.url)), 'histories', 'buildWorkspace', `${name}.json`);
  mkdirSync(dirname(path), { recursive: true });
  const show = ['workflow', 'show', '--workflow-id', handle.workflowId, '--output', 'json', '--address', address];
  const history = execFileSync(cli, [...show, '--namespace', rig.client.options.namespace]).toString();
  // Stack traces name this clone's place.
  writeFileSync(path, history.replaceAll(process.cwd(), '/berth'));
  console.log(path);
}
await rig.stop();
process.exit(0);
