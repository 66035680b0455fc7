import { type Log, messageOf } from './log.ts';
import { isDue, timeoutMsOf } from './metadata-schedule.ts';
import type { ManifestMetadata, MetadataReport } from './protocol.ts';
import { runCommand } from './run-command.ts';
import type { ServerClient } from './server-client.ts';
import { shellCommand } from './shell.ts';

export interface MetadataOptions {
  readonly metadata: readonly ManifestMetadata[];
  readonly client: ServerClient;
  readonly tickMs: number;
  readonly env: () => Record<string, string>;
  readonly cwd: () => string;
  readonly log: Log;
  readonly signal: AbortSignal;
}

interface Collected {
  readonly value: string;
  readonly error: string;
  readonly at: Date;
}

const maxOutputBytes = 10 * 1024;
const killGraceMs = 1000;

/** Collects each key when it is due, one run of a key at a time, and reports the newest values. Source: spec/05 §9. */
export function startMetadata(options: MetadataOptions): void {
  const { metadata, client, tickMs, log, signal } = options;
  if (metadata.length === 0 || signal.aborted) return;
  const lastStarted = new Map<string, number>();
  const running = new Set<string>();
  /** Not reported yet; a newer value takes the place of an older one. */
  const pending = new Map<string, Collected>();
  let reporting = false;

  async function collect(item: ManifestMetadata): Promise<void> {
    const env = options.env();
    const chunks: Buffer[] = [];
    let size = 0;
    const timeoutMs = timeoutMsOf(item);
    const result = await runCommand({
      ...shellCommand(item.script, env),
      env,
      cwd: options.cwd(),
      timeoutMs,
      killGraceMs,
      openPipesMs: killGraceMs,
      signal,
      onOutput(_stream, chunk) {
        if (size < maxOutputBytes) chunks.push(chunk.subarray(0, maxOutputBytes - size));
        size += chunk.length;
      },
    });
    if (signal.aborted) return;
    const errors = [
      ...(result.status === 'timed_out' ? [`timed out after ${timeoutMs / 1000} s`] : []),
      ...(result.status === 'exit_failure' ? [`exit status ${result.exitCode}`] : []),
      ...(size > maxOutputBytes ? [`output of ${size} bytes exceeded ${maxOutputBytes} bytes`] : []),
    ];
    const value = Buffer.concat(chunks).toString('utf8').trim();
    pending.set(item.key, { value, error: errors.join('; '), at: result.endedAt });
  }

  async function report(): Promise<void> {
    const batch = new Map(pending);
    pending.clear();
    const nowMs = Date.now();
    const body: MetadataReport = {
      metadata: [...batch].map(([key, { value, error, at }]) => ({
        key,
        value,
        error,
        collected_at: at.toISOString(),
        age: Math.max(0, Math.round((nowMs - at.getTime()) / 1000)),
      })),
    };
    let refused: string | null = null;
    try {
      const answer = await client.call({ method: 'POST', path: '/workspaceagents/me/metadata', body, signal });
      if (answer.status < 300) return;
      if (answer.status === 400) return log.warn('the server did not take all metadata of this agent');
      refused = String(answer.status);
    } catch (err) {
      refused = messageOf(err);
    }
    if (!signal.aborted && !told) log.warn(`metadata could not be reported (${refused}); trying again`);
    told = true;
    for (const [key, collected] of batch) if (!pending.has(key)) pending.set(key, collected);
  }
  let told = false;

  const tick = (): void => {
    const nowMs = performance.now();
    for (const item of metadata) {
      if (running.has(item.key) || !isDue(item, lastStarted.get(item.key) ?? null, nowMs)) continue;
      running.add(item.key);
      lastStarted.set(item.key, nowMs);
      void collect(item).finally(() => running.delete(item.key));
    }
    if (reporting || pending.size === 0) return;
    reporting = true;
    void report().finally(() => {
      reporting = false;
    });
  };
  const timer = setInterval(tick, tickMs);
  signal.addEventListener('abort', () => clearInterval(timer), { once: true });
  tick();
}
