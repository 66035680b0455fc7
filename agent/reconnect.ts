import { type Backoff, backoffMs } from './backoff.ts';
import { closeCodes } from './protocol.ts';

/** How one attempt to hold the socket ended. */
export type ConnectOutcome =
  | { readonly kind: 'closed'; readonly code: number; readonly reason: string; readonly openMs: number }
  | {
      readonly kind: 'refused';
      readonly status: number;
      readonly retryAfterMs: number | null;
      /** `Coder-Agent-Api-Version`: what the server speaks. */
      readonly advertisedVersion: string | null;
    }
  | { readonly kind: 'unreachable'; readonly reason: string };

export interface ReconnectState {
  /** Attempts in a row that did not lead to a lasting connection. */
  readonly failures: number;
  /** Since when every answer was 401; null when the last one was something else. */
  readonly refusedSinceMs: number | null;
  readonly version: string;
  /** The server named its version once already; a second time is no progress. */
  readonly versionTried: boolean;
}

export const initialReconnectState = (version: string): ReconnectState => ({
  failures: 0,
  refusedSinceMs: null,
  version,
  versionTried: false,
});

export interface ReconnectRules {
  readonly backoff: Backoff;
  /** After a restart of the server everybody comes back within this time, at random. */
  readonly spreadMs: number;
  /** A newer process of the same agent holds the socket: coming back soon would only throw it out. */
  readonly supersededWaitMs: number;
  /** So long of nothing but 401 ends the process; null = never (instance identity, CODER_AGENT_RETRY_FOREVER). */
  readonly giveUpAfterMs: number | null;
}

export type ReconnectPlan =
  | { readonly kind: 'retry'; readonly waitMs: number; readonly state: ReconnectState }
  | { readonly kind: 'exit'; readonly code: number };

/** 1001 going away, 1006 no close frame, 1012 restart: what a server that ends leaves behind. */
const restartCodes: readonly number[] = [1001, 1006, 1012];

/** A connection that lasted so long was a good one. */
const lastingMs = 10_000;

/** The wait that a close code stands for; null = the ordinary back-off. */
function waitAfterClose(code: number, { spreadMs, supersededWaitMs }: ReconnectRules, random: number): number | null {
  if (restartCodes.includes(code)) return spreadMs * random;
  if (code === closeCodes.reinit) return 0;
  if (code === closeCodes.superseded) return supersededWaitMs * (1 + random);
  return null;
}

/** What to do after an attempt has ended. Source: spec/05 §2 "Rotation", §16, §19 "reconnect storm". */
export function planReconnect(
  outcome: ConnectOutcome,
  state: ReconnectState,
  { rules, nowMs, random }: { rules: ReconnectRules; nowMs: number; random: number },
): ReconnectPlan {
  const lasted = outcome.kind === 'closed' && outcome.openMs >= lastingMs;
  const failures = lasted ? 1 : state.failures + 1;
  const wait = backoffMs(rules.backoff, failures, random);
  if (outcome.kind === 'closed') {
    const next = { ...state, failures, refusedSinceMs: null, versionTried: false };
    const special = waitAfterClose(outcome.code, rules, random);
    // A server that ends every connection at once must not be asked again at once.
    const waitMs = special === null ? wait : lasted ? special : Math.max(special, wait);
    return { kind: 'retry', waitMs, state: next };
  }
  if (outcome.kind === 'unreachable')
    return { kind: 'retry', waitMs: wait, state: { ...state, failures, refusedSinceMs: null } };
  const { status, advertisedVersion } = outcome;
  if (status === 400 && advertisedVersion !== null && advertisedVersion !== state.version && !state.versionTried)
    return {
      kind: 'retry',
      waitMs: 0,
      state: { failures, refusedSinceMs: null, version: advertisedVersion, versionTried: true },
    };
  const refusedSinceMs = status === 401 ? (state.refusedSinceMs ?? nowMs) : null;
  if (refusedSinceMs !== null && rules.giveUpAfterMs !== null && nowMs - refusedSinceMs >= rules.giveUpAfterMs)
    return { kind: 'exit', code: 2 };
  return {
    kind: 'retry',
    waitMs: Math.max(wait, outcome.retryAfterMs ?? 0),
    state: { ...state, failures, refusedSinceMs },
  };
}
