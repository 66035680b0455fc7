import { WebSocket } from 'ws';
import { answer } from './child.ts';
import { Errors, send } from './http.ts';
import { agentTokenOf, metadataKeys } from './rows.ts';

/** Process with thousands of simulated agents: one socket each that answers pings, and reports at random phases. */
const tickMs = 10;
const base = '/api/v2/workspaceagents/me';

interface SimulatedAgent {
  readonly token: string;
  readonly isActive: boolean;
  reports: number;
  /** Attempts in a row that did not open the socket. */
  failures: number;
  socket: WebSocket | undefined;
}

let url = '';
let agents: SimulatedAgent[] = [];
let connected = 0;
let jitterMs = 0;
const errors = new Errors();
let latencies = { stats: [] as number[], metadata: [] as number[], manifest: [] as number[] };
let onAll: (() => void) | undefined;

/** A socket and, as an agent does on each connection, a look at its manifest. */
function connect(agent: SimulatedAgent): Promise<void> {
  return new Promise((resolve) => {
    const socket = new WebSocket(`${url.replace('http', 'ws')}${base}/connect`, {
      headers: { 'Coder-Session-Token': agent.token },
      perMessageDeflate: false,
      skipUTF8Validation: true,
    });
    agent.socket = socket;
    let opened = false;
    socket.on('open', () => {
      opened = true;
      agent.failures = 0;
      connected += 1;
      if (connected === agents.length) onAll?.();
      void measured('manifest', agent, { method: 'GET', path: '/manifest' }).then(resolve);
    });
    socket.on('error', (err) => errors.add(err));
    socket.on('close', () => {
      agent.socket = undefined;
      if (opened) connected -= 1;
      // After a restart spread over the whole time; those that found nobody wait ever longer, as agents do.
      agent.failures += opened ? 0 : 1;
      const waitMs = opened ? jitterMs : Math.min(30_000, 1_000 * 2 ** agent.failures);
      setTimeout(() => void connect(agent), Math.random() * waitMs);
      resolve();
    });
  });
}

async function measured(
  kind: keyof typeof latencies,
  agent: SimulatedAgent,
  call: { method: string; path: string; body?: string },
): Promise<void> {
  const { path, ...rest } = call;
  try {
    const { status, ms } = await send(`${url}${base}${path}`, { token: agent.token, ...rest });
    if (status >= 300) errors.add(new Error(`${kind} ${status}`));
    latencies[kind].push(ms);
  } catch (err) {
    errors.add(err);
  }
}

/** What an agent with an editor and a terminal open says; counters grow, so no report repeats the one before. */
function statsBody({ isActive, reports }: SimulatedAgent): string {
  const count = isActive ? 1 : 0;
  return JSON.stringify({
    connections_by_proto: isActive ? { tcp: 1 } : {},
    connection_count: count,
    connection_median_latency_ms: isActive ? 12.5 : -1,
    rx_packets: count * reports * 40,
    rx_bytes: count * reports * 9_000,
    tx_packets: count * reports * 50,
    tx_bytes: count * reports * 22_000,
    session_count_vscode: count,
    session_count_jetbrains: 0,
    session_count_reconnecting_pty: 0,
    session_count_ssh: count,
    session_counts: {},
    metrics: [],
  });
}
const metadataBody = (): string => {
  const values = [String(Date.now()), `${Math.round(Math.random() * 100)}%`, '3.2/16 GiB', '41/100 GiB'];
  return JSON.stringify({ metadata: metadataKeys.map((key, index) => ({ key, value: values[index], error: '' })) });
};

/** Calls `report` once per agent and period, each agent at its own random phase; late ticks are made up for. */
function everyPeriod(seconds: number, report: (agent: SimulatedAgent) => void): void {
  const slots: SimulatedAgent[][] = Array.from({ length: Math.round((seconds * 1_000) / tickMs) }, () => []);
  for (const agent of agents) slots[Math.floor(Math.random() * slots.length)]!.push(agent);
  const begin = performance.now();
  let done = 0;
  timers.push(
    setInterval(() => {
      for (const due = Math.floor((performance.now() - begin) / tickMs); done < due; done += 1)
        for (const agent of slots[done % slots.length]!) if (agent.socket?.readyState === WebSocket.OPEN) report(agent);
    }, tickMs),
  );
}
const timers: NodeJS.Timeout[] = [];

/** Resolves when every agent is connected. */
const allConnected = (): Promise<void> =>
  new Promise((resolve) => {
    onAll = resolve;
    if (connected === agents.length) resolve();
  });

answer({
  async connect(to: { url: string; count: number; atOnce: number; activeShare: number }) {
    ({ url } = to);
    agents = Array.from({ length: to.count }, (_, index) => ({
      token: agentTokenOf(index + 1),
      isActive: index < to.count * to.activeShare,
      reports: 0,
      failures: 0,
      socket: undefined,
    }));
    const begin = performance.now();
    // As fast as the server takes them; a fixed pace would only fill its queue of connections.
    let next = 0;
    const connectNext = async (): Promise<void> => {
      for (let agent = agents[next++]; agent !== undefined; agent = agents[next++]) await connect(agent);
    };
    await Promise.all(Array.from({ length: to.atOnce }, connectNext));
    await allConnected();
    return { ms: performance.now() - begin, errors: errors.take() };
  },
  start({ statsEveryS, metadataEveryS }: { statsEveryS: number; metadataEveryS: number }) {
    everyPeriod(statsEveryS, (agent) => {
      agent.reports += 1;
      void measured('stats', agent, { method: 'POST', path: '/report-stats', body: statsBody(agent) });
    });
    everyPeriod(metadataEveryS, (agent) => {
      void measured('metadata', agent, { method: 'POST', path: '/metadata', body: metadataBody() });
    });
  },
  stop() {
    for (const timer of timers.splice(0)) clearInterval(timer);
  },
  reset() {
    latencies = { stats: [], metadata: [], manifest: [] };
    errors.take();
  },
  sample: () => ({ ...latencies, connected, errors: errors.take() }),
  /** From now on a lost socket comes back after a random time up to this. */
  expectRestart(params: { jitterMs: number }) {
    ({ jitterMs } = params);
  },
  allConnected,
});
