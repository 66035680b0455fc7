import type { Backoff } from './backoff.ts';
import type { Log } from './log.ts';
import type { LogLevel } from './protocol.ts';
import type { ServerClient } from './server-client.ts';
import { endsWithin, wait } from './wait.ts';

export interface LogSenderOptions {
  readonly client: ServerClient;
  readonly flushMs: number;
  readonly backoff: Backoff;
  readonly log: Log;
  readonly limits?: LogLimits;
}

export interface LogLimits {
  /** So many lines do not wait for the next flush. */
  readonly flushEntries: number;
  /** The server takes no more in one request. */
  readonly requestEntries: number;
  readonly requestBytes: number;
  /** Of all that is queued; newer lines are dropped. */
  readonly queuedBytes: number;
}

/** Source: spec/05 §8 "Agent sender". The envelope around the lines needs some of the 1 MiB. */
const defaultLimits: LogLimits = {
  flushEntries: 100,
  requestEntries: 1000,
  requestBytes: 1024 * 1024 - 1024,
  queuedBytes: 2 * 1024 * 1024,
};

export interface LogSender {
  readonly add: (sourceId: string, level: LogLevel, output: string) => void;
  /** Whether everything was sent within `ms`. */
  readonly flush: (ms: number) => Promise<boolean>;
  /** Sends nothing any more and forgets what is queued. */
  readonly stop: () => void;
}

interface Source {
  /** Lines as JSON, as they go over the wire: their size is known and they are written once. */
  readonly entries: string[];
  readonly sizes: number[];
  dropped: number;
  /** Must not wait for the next tick. */
  due: boolean;
}

/**
 * Sends log lines in order, one request at a time, through absences of the server of any length. What does not fit into the
 * memory limit is counted, and the count is a line of its own once the server is back.
 */
export function createLogSender({
  client,
  flushMs,
  backoff,
  log,
  limits = defaultLimits,
}: LogSenderOptions): LogSender {
  const sources = new Map<string, Source>();
  const stopped = new AbortController();
  let queuedBytes = 0;
  let timer: NodeJS.Timeout | undefined;
  let sending: Promise<void> | null = null;

  const entryOf = (level: LogLevel, output: string): string =>
    JSON.stringify({ created_at: new Date().toISOString(), level, output });
  const push = (source: Source, entry: string, size: number): void => {
    source.entries.push(entry);
    source.sizes.push(size);
    queuedBytes += size;
  };

  function add(sourceId: string, level: LogLevel, output: string): void {
    if (stopped.signal.aborted) return;
    let source = sources.get(sourceId);
    if (source === undefined) sources.set(sourceId, (source = { entries: [], sizes: [], dropped: 0, due: false }));
    const entry = entryOf(level, output);
    const size = Buffer.byteLength(entry) + 1;
    // Once a line of a source was dropped the next ones are too, so that the gap is one and stands where it is told.
    if (source.dropped > 0 || queuedBytes + size > limits.queuedBytes) {
      source.dropped += 1;
      return;
    }
    push(source, entry, size);
    if (source.entries.length >= limits.flushEntries) {
      source.due = true;
      send();
    } else
      timer ??= setTimeout(() => {
        timer = undefined;
        for (const each of sources.values()) each.due = true;
        send();
      }, flushMs);
  }

  function send(): void {
    sending ??= sendAll().finally(() => {
      sending = null;
      // A line that came due between the last look and now.
      if ([...sources.values()].some(({ due, entries }) => due && entries.length > 0)) send();
    });
  }

  async function sendAll(): Promise<void> {
    for (;;) {
      const next = [...sources].find(([, { due, entries }]) => due && entries.length > 0);
      if (next === undefined || stopped.signal.aborted) return;
      const [sourceId, source] = next;
      // The others have their turn before this one again.
      sources.delete(sourceId);
      sources.set(sourceId, source);
      await sendBatch(sourceId, source);
      if (source.entries.length === 0) source.due = false;
      // There is room again, also for sources of which nothing was queued at all.
      for (const each of sources.values()) if (each.dropped > 0) tellDropped(each);
    }
  }

  async function sendBatch(sourceId: string, source: Source): Promise<void> {
    const { entries, sizes } = source;
    let count = 0;
    let bytes = 0;
    while (count < Math.min(entries.length, limits.requestEntries)) {
      const size = sizes[count] ?? 0;
      if (count > 0 && bytes + size > limits.requestBytes) break;
      bytes += size;
      count += 1;
    }
    const call = {
      method: 'PATCH',
      path: '/workspaceagents/me/logs',
      rawBody: `{"log_source_id":${JSON.stringify(sourceId)},"logs":[${entries.slice(0, count).join(',')}]}`,
      signal: stopped.signal,
    } as const;
    const answer = await client.deliver(call, backoff);
    entries.splice(0, count);
    sizes.splice(0, count);
    queuedBytes -= bytes;
    if (answer === null) return;
    if (answer.status === 413) {
      log.warn('the server keeps no more log lines of this agent; scripts go on, their log files too');
      stop();
    } else if (answer.status >= 300) log.warn(`the server refused ${count} log lines with ${answer.status}`);
  }

  function tellDropped(source: Source): void {
    const text = `${source.dropped} log lines were dropped here: the server was away and the queue full`;
    source.dropped = 0;
    const entry = entryOf('warn', text);
    push(source, entry, Buffer.byteLength(entry) + 1);
    source.due = true;
  }

  function stop(): void {
    stopped.abort();
    clearTimeout(timer);
    sources.clear();
    queuedBytes = 0;
  }

  async function flush(ms: number): Promise<boolean> {
    const until = performance.now() + ms;
    while (!stopped.signal.aborted && (sending !== null || queuedBytes > 0)) {
      const leftMs = until - performance.now();
      if (leftMs <= 0) return false;
      for (const source of sources.values()) source.due = source.entries.length > 0;
      send();
      if (!(await endsWithin(sending ?? wait(0), leftMs))) return false;
    }
    return true;
  }

  return { add, flush, stop };
}
