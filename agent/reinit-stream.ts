import type { IncomingMessage } from 'node:http';
import { type Backoff, backoffMs } from './backoff.ts';
import { type Log, messageOf } from './log.ts';
import type { ReinitEvent } from './protocol.ts';
import type { ServerClient } from './server-client.ts';
import { wait } from './wait.ts';

export interface ReinitOptions {
  readonly client: ServerClient;
  readonly backoff: Backoff;
  /** Pings come every 15 s; so long without a byte and the stream counts as dead. */
  readonly silenceMs: number;
  readonly log: Log;
  readonly signal: AbortSignal;
  readonly onEvent: (event: ReinitEvent) => void;
}

/**
 * Asks whether this prebuild was claimed, until it was or the server says that it never will be (409). One event ends it:
 * a workspace is claimed once. Source: spec/05 §14 "Agent".
 */
export async function watchReinit(options: ReinitOptions): Promise<void> {
  const { client, backoff, signal, log, onEvent } = options;
  for (let failures = 0; !signal.aborted;) {
    try {
      const response = await client.stream('/workspaceagents/me/reinit?wait=true', signal);
      if (response.statusCode === 409) {
        response.resume();
        return;
      }
      if (response.statusCode === 200) {
        failures = 0;
        const event = await nextEvent(response, options);
        if (event !== null) return onEvent(event);
      } else response.resume();
    } catch (err) {
      if (!signal.aborted && failures === 0) log.warn(`waiting for a claim: ${messageOf(err)}; trying again`);
    }
    failures += 1;
    await wait(backoffMs(backoff, failures, Math.random()), signal);
  }
}

/** The first `data` event of a stream; null when it ends without one. */
async function nextEvent(response: IncomingMessage, { silenceMs }: ReinitOptions): Promise<ReinitEvent | null> {
  const watchdog = setTimeout(() => response.destroy(new Error('the stream is silent')), silenceMs);
  let rest = '';
  try {
    response.setEncoding('utf8');
    for await (const chunk of response as AsyncIterable<string>) {
      watchdog.refresh();
      const blocks = (rest + chunk).replaceAll('\r', '').split('\n\n');
      rest = blocks.pop() ?? '';
      for (const block of blocks) {
        const event = parseEvent(block);
        if (event !== null) return event;
      }
    }
    return null;
  } finally {
    clearTimeout(watchdog);
    response.destroy();
  }
}

/** Reads one block of server-sent events; pings, comments and anything without a new owner are null. */
export function parseEvent(block: string): ReinitEvent | null {
  const lines = block.split('\n');
  const name =
    lines
      .find((line) => line.startsWith('event:'))
      ?.slice('event:'.length)
      .trim() ?? 'message';
  if (name !== 'data' && name !== 'message') return null;
  const data = lines
    .filter((line) => line.startsWith('data:'))
    .map((line) => line.slice('data:'.length).replace(/^ /, ''))
    .join('\n');
  try {
    const event = JSON.parse(data) as Partial<ReinitEvent> | null;
    if (typeof event?.user_id !== 'string') return null;
    return { workspace_id: event.workspace_id ?? '', user_id: event.user_id, reason: event.reason ?? '' };
  } catch {
    return null;
  }
}
