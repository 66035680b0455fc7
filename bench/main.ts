import { parseArgs } from 'node:util';
import { benchAgents } from './agents.ts';
import { type AgentsOptions, agentsOptions } from './agents/settings.ts';
import { benchAutostart } from './autostart.ts';
import { benchBuild } from './build.ts';
import { benchClaim } from './claim.ts';
import { benchHistory } from './history.ts';
import { benchIdle } from './idle.ts';
import { benchIsolation } from './isolation.ts';
import { benchList } from './list.ts';
import { benchLogs } from './logs.ts';
import { benchReconcile } from './reconcile.ts';
import { benchThroughput } from './throughput.ts';
import { benchTick } from './tick.ts';

/** Name → benchmark. Each prints JSON lines on stdout and its progress on stderr. */
const benches: Readonly<Record<string, (options: AgentsOptions) => Promise<void>>> = {
  build: benchBuild,
  list: benchList,
  history: benchHistory,
  throughput: benchThroughput,
  logs: benchLogs,
  idle: benchIdle,
  isolation: benchIsolation,
  agents: benchAgents,
  claim: benchClaim,
  reconcile: benchReconcile,
  autostart: benchAutostart,
  tick: benchTick,
};

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { runs: { type: 'string' }, ...agentsOptions },
});
const bench = benches[positionals[0] ?? ''];
if (bench === undefined) {
  console.error(`usage: npm run bench -- <${Object.keys(benches).join('|')}> [--runs N]`);
  process.exit(2);
}
await bench({ ...values, runs: values.runs === undefined ? undefined : Number(values.runs) });
process.exit(0);
