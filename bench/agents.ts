import { setTimeout as delay } from 'node:timers/promises';
import { type Bed, withBed } from './agents/bed.ts';
import { type Pair, both, cpuOf, figure, reportWindows } from './agents/figures.ts';
import { printProfile } from './agents/profile.ts';
import { agentIdOf, agentTokenOf } from './agents/rows.ts';
import { type AgentsOptions, type Settings, settingsOf } from './agents/settings.ts';
import { type Statements, withStatements } from './agents/statements.ts';
import { reportStorms, storm } from './agents/storm.ts';
import { type Around, type Idle, type Side, type Window, loadOf, measureWindow, memoryOf } from './agents/side.ts';
import { cpuSeconds, openFilesLimit, residentKiB } from './agents/usage.ts';
import { quantile, report } from './report.ts';

/** Sockets of the drivers' pool, of watchers, of the database, and files. */
const otherFiles = 1_500;
/** What waits in batches is written, and garbage of the last phase is collected. */
const settleMs = 6_000;
const note = (text: string): void => console.error(text);

/**
 * Ten thousand simulated agents on one API process against a bare `ws` and Hono server that answers from memory, with the same
 * load in turns: processor time, memory, latency of a report; then metadata watchers; then a restart.
 */
export async function benchAgents(options: AgentsOptions): Promise<void> {
  const settings = settingsOf(options);
  const { agents, watchers } = settings;
  if (openFilesLimit() < agents + watchers + otherFiles)
    throw new Error(`${agents} agents need more open files than ${openFilesLimit()} (ulimit -Hn)`);
  note(
    `load: ${agents} agents, each a WebSocket pinged every 15 s, stats every ${settings.statsEveryS} s ` +
      `(${settings.activeShare * 100} % of them active), 4 metadata keys every ${settings.metadataEveryS} s; ${watchers} watchers`,
  );
  await withBed(settings, async (bed) => {
    const sides: Pair<Side> = { ours: bed.ours, bare: bed.bare };
    const connected = {
      bare: await connectAll(sides.bare, settings),
      ours: await connectAll(sides.ours, settings),
    };
    figure(
      'connects_per_second',
      both(connected, ({ perSecond }) => perSecond),
      { n: agents, unit: '1/s' },
    );
    figure(
      'cpu_per_connect',
      both(connected, ({ cpuMs }) => cpuMs),
      { n: agents, unit: 'ms' },
    );
    const perAgent = (of: (idle: Idle) => number) =>
      both(connected, ({ before, after }) => (of(after) - of(before)) / agents);
    figure(
      'rss_per_agent',
      perAgent(({ rssKiB }) => rssKiB),
      { n: agents, unit: 'KiB' },
    );
    figure(
      'live_memory_per_agent',
      perAgent(({ liveKiB }) => liveKiB),
      { n: agents, unit: 'KiB' },
    );

    // The first report of an agent is dearer than the next ones, here and there.
    note('warming up');
    await Promise.all([sides.bare, sides.ours].map((side) => side.agents.ask('start', loadOf(settings))));
    await delay(Math.max(settings.statsEveryS, settings.metadataEveryS) * 1_000);
    await Promise.all([sides.bare, sides.ours].map((side) => side.agents.ask('stop')));
    await delay(settleMs);

    const windows = { ours: [] as Window[], bare: [] as Window[] };
    const quiet: Statements[] = [];
    for (let round = 0; round < settings.rounds; round += 1) {
      windows.bare.push(await measured(sides.bare, settings));
      windows.ours.push(await withStatements(bed, quiet, (around) => measured(sides.ours, settings, around)));
    }
    reportWindows(windows, agents);
    figure(
      'rss',
      both(sides, ({ server }) => residentKiB(server().pid) / 1024),
      { n: agents, unit: 'MiB' },
    );
    await watch(bed, settings, quiet);
    if (settings.profile !== undefined) await profile(bed.ours, settings, settings.profile);
    const bareStorm = await storm(sides.bare, settings);
    reportStorms({ bare: bareStorm, ours: await storm(sides.ours, settings) }, agents);
  });
}

interface Connected {
  readonly before: Idle;
  readonly after: Idle;
  readonly perSecond: number;
  readonly cpuMs: number;
}

/** All agents, one after the other, each with its socket and a look at its manifest. */
async function connectAll(side: Side, settings: Settings): Promise<Connected> {
  const before = await memoryOf(side);
  const { agents: count, connectsAtOnce: atOnce, activeShare } = settings;
  const cpu = cpuSeconds(side.server().pid);
  const profiled = side.name === 'ours' && settings.profile !== undefined ? `${settings.profile}.connect` : undefined;
  if (profiled !== undefined) await side.server().ask('startProfile');
  const { ms, errors } = await side.agents.ask<{ ms: number; errors: object }>('connect', {
    url: side.url,
    count,
    atOnce,
    activeShare,
  });
  if (profiled !== undefined) {
    await side.server().ask('stopProfile', { path: profiled });
    printProfile(profiled);
  }
  const cpuMs = ((cpuSeconds(side.server().pid) - cpu) / count) * 1_000;
  note(`${side.name}: ${count} agents connected within ${(ms / 1_000).toFixed(1)} s, errors ${JSON.stringify(errors)}`);
  await delay(settleMs);
  return { before, after: await memoryOf(side), perSecond: count / (ms / 1_000), cpuMs };
}

async function measured(side: Side, settings: Settings, around?: Around): Promise<Window> {
  const window = await measureWindow(side, settings, around);
  note(
    `${side.name}: ${(window.cpuSeconds / window.seconds).toFixed(3)} cores, driver ${(window.driverCpuSeconds / window.seconds).toFixed(3)}, ` +
      `machine ${(window.busySeconds / window.seconds).toFixed(2)}, ` +
      `p99 ${quantile([...window.stats, ...window.metadata], 0.99).toFixed(1)} ms, errors ${JSON.stringify(window.errors)}`,
  );
  await delay(settleMs);
  return window;
}

const mean = (values: readonly number[]): number => values.reduce((all, each) => all + each, 0) / values.length;

/** The same load with watchers, each of another agent. */
async function watch(bed: Bed, settings: Settings, quiet: readonly Statements[]): Promise<void> {
  const { watchers: count } = settings;
  const windows: Partial<Record<Side['name'], Window>> = {};
  const first: Partial<Record<Side['name'], number[]>> = {};
  const visible: Partial<Record<Side['name'], number[]>> = {};
  const watched: Statements[] = [];
  for (const side of [bed.bare, bed.ours]) {
    const isOurs = side === bed.ours;
    const ids = Array.from({ length: count }, (_, index) => (isOurs ? agentIdOf : agentTokenOf)(index + 1));
    const { url } = side;
    const { firstEvents } = await side.watchers.ask<{ firstEvents: number[] }>('watch', {
      url,
      ids,
      token: bed.sessionToken,
      perSecond: 100,
    });
    first[side.name] = firstEvents;
    await side.watchers.ask('reset');
    windows[side.name] = isOurs
      ? await withStatements(bed, watched, (around) => measured(side, settings, around))
      : await measured(side, settings);
    const sample = await side.watchers.ask<{ visible: number[]; events: number; errors: object }>('sample');
    visible[side.name] = sample.visible;
    note(`${side.name}: ${sample.events} events for ${count} watchers, errors ${JSON.stringify(sample.errors)}`);
    await side.watchers.ask('close');
  }
  const p99 = (values: readonly number[]) => quantile(values, 0.99);
  figure(
    'cpu_with_watchers',
    both(windows as Pair<Window>, (window) => cpuOf([window])),
    { n: count, unit: 'cores' },
  );
  figure('first_event_p99', both(first as Pair<number[]>, p99), { n: count, unit: 'ms' });
  figure('update_visible_p99', both(visible as Pair<number[]>, p99), { n: visible.ours!.length, unit: 'ms' });
  // Ours twice: with all watchers, and with none.
  const pair = (of: (each: Statements) => number) => ({ ours: mean(watched.map(of)), baseline: mean(quiet.map(of)) });
  const common = { bench: 'agents', n: count };
  report({ ...common, metric: 'statements_per_second', ...pair(({ perSecond }) => perSecond), unit: '1/s' });
  report({ ...common, metric: 'database_cpu', ...pair(({ databaseCores }) => databaseCores), unit: 'cores' });
}

/** Where our server spends its time under the load, without watchers. */
async function profile(side: Side, settings: Settings, path: string): Promise<void> {
  await measured(side, settings, {
    begin: () => side.server().ask('startProfile'),
    end: () => side.server().ask('stopProfile', { path }),
  });
  printProfile(path);
}
