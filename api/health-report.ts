import { listWorkerHeartbeats, pingDatabase } from '../db/queries/deployment.ts';
import { healthReader } from '../domain/actors.ts';
import type { AppDeps } from './context.ts';

export type Severity = 'ok' | 'warning' | 'error';
export interface HealthSection {
  healthy: boolean;
  severity: Severity;
  warnings: { code: string; message: string }[];
  dismissed: boolean;
  error: string | null;
}

const workerSilenceMs = 90_000;
const slowDatabaseMs = 15;
const cacheMs = 10 * 60_000;
const sectionTimeoutMs = 10_000;

const fine = (): HealthSection => ({ healthy: true, severity: 'ok', warnings: [], dismissed: false, error: null });
const warning = (code: string, message: string): HealthSection => ({
  ...fine(),
  severity: 'warning',
  warnings: [{ code, message }],
});
const broken = (error: string): HealthSection => ({ ...fine(), healthy: false, severity: 'error', error });

async function checkAccessUrl(deps: AppDeps): Promise<HealthSection> {
  try {
    const url = new URL('/healthz', deps.config.CODER_ACCESS_URL);
    const response = await fetch(url, { signal: AbortSignal.timeout(sectionTimeoutMs) });
    return response.status === 200 ? fine() : broken(`EACS03: /healthz answered ${response.status}`);
  } catch {
    return broken('EACS02: the access URL does not answer');
  }
}

async function checkDatabase(deps: AppDeps): Promise<HealthSection> {
  try {
    const times: number[] = [];
    for (let i = 0; i < 5; i += 1) times.push(await pingDatabase(deps.db));
    const median = times.sort((left, right) => left - right)[2] ?? 0;
    return median > slowDatabaseMs ? warning('EDB02', `median round trip ${median.toFixed(1)} ms`) : fine();
  } catch {
    return broken('EDB01: the database does not answer');
  }
}

async function checkWorkers(deps: AppDeps): Promise<HealthSection> {
  try {
    const workers = await listWorkerHeartbeats(deps.db, healthReader());
    const since = deps.now().getTime() - workerSilenceMs;
    return workers.some((worker) => worker.lastSeenAt.getTime() >= since)
      ? fine()
      : broken('EPD01: no provisioner worker has reported within 90 s');
  } catch {
    return broken('EPD01: the workers cannot be read');
  }
}

const rank: Record<Severity, number> = { ok: 0, warning: 1, error: 2 };

async function buildReport(deps: AppDeps) {
  const [access_url, database, provisioner_daemons, reachable] = await Promise.all([
    checkAccessUrl(deps),
    checkDatabase(deps),
    checkWorkers(deps),
    deps.temporal.isReachable(),
  ]);
  // Streams use the same listener as everything else, so they are as healthy as the access URL.
  const websocket = access_url.healthy ? fine() : broken('EWS01: the access URL does not answer');
  const temporal = reachable
    ? fine()
    : broken('ETMP01: Temporal does not answer; builds wait and start when it is back');
  const sections = { access_url, database, websocket, provisioner_daemons, temporal };
  const severity = Object.values(sections)
    .filter((section) => !section.dismissed)
    .reduce<Severity>((worst, { severity: each }) => (rank[each] > rank[worst] ? each : worst), 'ok');
  return { time: deps.now().toISOString(), healthy: severity !== 'error', severity, ...sections };
}
export type HealthReport = Awaited<ReturnType<typeof buildReport>>;

/** Cached for 10 minutes, `force` renews; calls that meet a run in progress share it. Source: spec/08 §6. */
export function createHealthReport(deps: AppDeps) {
  let last: { at: number; report: HealthReport } | undefined;
  let running: Promise<HealthReport> | undefined;
  return async (force: boolean): Promise<HealthReport> => {
    if (!force && last !== undefined && deps.now().getTime() - last.at < cacheMs) return last.report;
    running ??= buildReport(deps).finally(() => (running = undefined));
    const report = await running;
    last = { at: deps.now().getTime(), report };
    return report;
  };
}
