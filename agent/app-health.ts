import { type HealthState, healthcheckOf, nextHealth } from './health-rules.ts';
import { openRequest } from './http.ts';
import type { Log } from './log.ts';
import type { ManifestApp } from './protocol.ts';
import type { ServerClient } from './server-client.ts';

export interface AppHealthOptions {
  readonly apps: readonly ManifestApp[];
  readonly client: ServerClient;
  /** How often changes are looked for. */
  readonly tickMs: number;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** Any answer below 500 within the interval. */
async function probe(url: string, timeoutMs: number, signal: AbortSignal): Promise<boolean> {
  try {
    const response = await openRequest({ method: 'GET', url, timeoutMs, signal });
    response.destroy();
    return (response.statusCode ?? 500) < 500;
  } catch {
    return false;
  }
}

/** Asks each app with a health check at its interval and reports changes only. Source: spec/05 §10 "Health". */
export function startAppHealth({ apps, client, tickMs, log, signal }: AppHealthOptions): void {
  const states = new Map<string, HealthState>();
  const reported = new Map<string, ManifestApp['health']>();
  const timers: NodeJS.Timeout[] = [];

  for (const app of apps) {
    const check = healthcheckOf(app);
    if (check === null) continue;
    states.set(app.id, { health: app.health, failures: 0 });
    reported.set(app.id, app.health);
    let busy = false;
    timers.push(
      setInterval(async () => {
        if (busy) return;
        busy = true;
        const succeeded = await probe(check.url, check.intervalMs, signal);
        const state = states.get(app.id);
        if (state !== undefined && !signal.aborted) states.set(app.id, nextHealth(state, succeeded, check.threshold));
        busy = false;
      }, check.intervalMs),
    );
  }
  if (states.size === 0) return;

  let reporting = false;
  async function report(): Promise<void> {
    const changed = [...states].filter(([id, { health }]) => reported.get(id) !== health);
    if (changed.length === 0) return;
    const healths = Object.fromEntries(changed.map(([id, { health }]) => [id, health]));
    const answer = await client.call({
      method: 'POST',
      path: '/workspaceagents/me/app-health',
      body: { Healths: healths },
      signal,
    });
    if (answer.status >= 500 || answer.status === 401 || answer.status === 429) return;
    if (answer.status >= 300) log.warn(`the health of apps was refused with ${answer.status}`);
    for (const [id, { health }] of changed) reported.set(id, health);
  }
  timers.push(
    setInterval(() => {
      if (reporting) return;
      reporting = true;
      // An absent server gets the change at a later tick.
      report()
        .catch(() => undefined)
        .finally(() => {
          reporting = false;
        });
    }, tickMs),
  );
  signal.addEventListener('abort', () => timers.forEach((timer) => clearInterval(timer)), { once: true });
}
