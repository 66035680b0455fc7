import { constants } from 'node:os';
import { parseArgs } from 'node:util';
import { describeFailure } from '../toolchain/failure.ts';
import { scenarios } from './catalogue.ts';
import { playScenario } from './play.ts';
import type { Scenario } from './scenario.ts';
import { type Stack, startStack } from './stack/stack.ts';
import { describeTally, meetsGoals } from './tally.ts';

/**
 * `npm run faults -- <scenario|all> [--runs N] [--seed S] [--json]`: real processes, real faults, and an oracle. One JSON line
 * per scenario on standard output, all else on standard error. Exit code 1 when a goal is missed, 2 for wrong usage.
 */
const usage = `usage: npm run faults -- <scenario|all> [--runs N] [--seed S] [--json]
scenarios: ${scenarios.map(({ name }) => name).join(', ')}
N (200) is rounded up to whole lives of a workspace by duplicate-requests (5 runs each) and two-replicas (4 runs each)`;

function parse(): { chosen: readonly Scenario[]; runs: number; seed: number; json: boolean } {
  const refuse = (why: string): never => {
    console.error(`${why}\n${usage}`);
    process.exit(2);
  };
  try {
    const { positionals, values } = parseArgs({
      allowPositionals: true,
      options: {
        runs: { type: 'string', default: '200' },
        seed: { type: 'string', default: '1' },
        json: { type: 'boolean', default: false },
      },
    });
    const [name = ''] = positionals;
    const chosen = name === 'all' ? scenarios : scenarios.filter((scenario) => scenario.name === name);
    if (chosen.length === 0 || positionals.length > 1) return refuse(`no scenario is called ${positionals.join(' ')}`);
    const [runs, seed] = [Number(values.runs), Number(values.seed)];
    if (!Number.isInteger(runs) || runs < 1) return refuse('--runs is a whole number from 1 on');
    if (!Number.isInteger(seed) || seed < 0) return refuse('--seed is a whole number from 0 on');
    return { chosen, runs, seed, json: values.json };
  } catch (err) {
    return refuse((err as Error).message);
  }
}

const { chosen, runs, seed, json } = parse();

/** One that cannot be played here, or breaks off, has failed; the others are still played. */
async function play(on: Stack, scenario: Scenario): Promise<void> {
  try {
    const tally = await playScenario(on, scenario, { runs, seed });
    console.log(JSON.stringify(tally));
    if (!json) console.error(describeTally(tally));
    if (!meetsGoals(tally)) process.exitCode = 1;
  } catch (err) {
    console.error(`✖ ${scenario.name} could not be played to its end: ${describeFailure(err)}`);
    process.exitCode = 1;
  }
}

let stack: Stack | undefined;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.once(signal, () => {
    // While the stack is being started, its guardian ends what is there.
    void Promise.resolve(stack?.stop()).then(() => process.exit(128 + constants.signals[signal]));
  });
try {
  stack = await startStack();
  for (const scenario of chosen) await play(stack, scenario);
} catch (err) {
  console.error(describeFailure(err));
  process.exitCode = 1;
} finally {
  await stack?.stop();
}
process.exit();
