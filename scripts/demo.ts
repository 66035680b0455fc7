import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { createClient } from '../cli/client.ts';
import { CliError, describeError } from '../cli/errors.ts';
import { createOutput } from '../cli/output.ts';
import { loadCliConfig, loadConfig, workerEnvironment } from '../config.ts';
import { describeFailure } from '../toolchain/failure.ts';
import { DemoFailure } from './demo/checks.ts';
import { clearAway, runDemo } from './demo/main-job.ts';
import { reportText } from './demo/report.ts';
import { ensureStack, stopStack } from './stack/ensure.ts';

const usage = `npm run demo [-- options]

The main job, end to end and for real: push a template, create a workspace, stop it, start it with another parameter,
delete it, and look that nothing is left; then keep a pool of two, claim one of it and see it filled again. Starts the stack when it is not up, and stops what it has started.

  --keep   leave the stack running
`;
const { values: flags } = parseArgs({
  options: { keep: { type: 'boolean', default: false }, help: { type: 'boolean', default: false } },
});

const config = loadConfig();
const { noColor, ci } = loadCliConfig();
const output = createOutput({ stdout: process.stdout, stderr: process.stderr, json: false, noColor, ci });

async function main(): Promise<number> {
  const env = workerEnvironment();
  const { urls, session, startedHere } = await ensureStack(config, env);
  const client = createClient(session);
  const interrupt = new AbortController();
  process.once('SIGINT', () => interrupt.abort());
  const run = { client, output, signal: interrupt.signal, baseDirectory: join(config.BERTH_DATA_DIR, 'workspaces') };
  let code = 0;
  try {
    const report = await runDemo(run);
    output.say(`\n${reportText(report, output.colors)}`);
  } catch (err) {
    code = interrupt.signal.aborted ? 130 : 1;
    output.say(`\n${output.colors.red('The demo failed.')} ${describe(err)}`);
    output.say(`  logs: ${join(config.BERTH_DATA_DIR, 'logs')}; Temporal Web UI: ${urls.temporalUi ?? 'not known'}`);
    await clearAway(run);
  }
  if (startedHere && !flags.keep) {
    await stopStack(env);
    output.say('The pages above need a running Berth: npm run demo -- --keep leaves it running, npm run up starts it.');
  } else output.say(`Berth is running at ${urls.api}; stop it with npm run up -- --stop`);
  return code;
}

const describe = (err: unknown): string =>
  err instanceof CliError ? describeError(err) : err instanceof DemoFailure ? err.message : describeFailure(err);

if (flags.help) console.log(usage);
else
  try {
    process.exitCode = await main();
  } catch (err) {
    console.error(describe(err));
    process.exitCode = 1;
  }
