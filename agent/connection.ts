import { WebSocket } from 'ws';
import { retryAfterMs } from './backoff.ts';
import { type Log, messageOf } from './log.ts';
import { type AgentFrame, type ServerFrame, agentApiVersion } from './protocol.ts';
import { type ConnectOutcome, type ReconnectRules, initialReconnectState, planReconnect } from './reconnect.ts';
import { RefusedExchange, type TokenSource } from './token-source.ts';
import { wait } from './wait.ts';

export interface ConnectionOptions {
  readonly url: string;
  readonly token: TokenSource;
  readonly rules: ReconnectRules;
  /** No ping for so long: the connection is dead although nobody said so. */
  readonly silenceMs: number;
  readonly handshakeMs: number;
  readonly log: Log;
  readonly signal: AbortSignal;
  readonly onOpen: () => void;
  readonly onFrame: (frame: ServerFrame, answer: (frame: AgentFrame) => void) => void;
}

/** Frames are at most 256 KiB (spec/05 §7). */
const maxFrameBytes = 256 * 1024;

/**
 * Holds one WebSocket to the server for the life of the process, through restarts of the API and changes of the token.
 * Resolves with an exit code when it gives up, with null when `signal` aborted. Source: spec/05 §2, §7, §16.
 */
export async function holdConnection(options: ConnectionOptions): Promise<number | null> {
  const { log, signal, rules, token } = options;
  let state = initialReconnectState(agentApiVersion);
  let told = '';
  while (!signal.aborted) {
    let outcome: ConnectOutcome;
    try {
      await token.renew(signal);
      outcome = await connectOnce(options, state.version, () => {
        told = '';
        log.info('connected');
        options.onOpen();
      });
    } catch (err) {
      outcome =
        err instanceof RefusedExchange
          ? { kind: 'refused', status: err.status, retryAfterMs: err.retryAfterMs, advertisedVersion: null }
          : { kind: 'unreachable', reason: messageOf(err) };
    }
    if (signal.aborted) break;
    const plan = planReconnect(outcome, state, { rules, nowMs: performance.now(), random: Math.random() });
    const text = describe(outcome);
    if (text !== told) log.warn(text);
    told = text;
    if (plan.kind === 'exit') return plan.code;
    state = plan.state;
    await wait(plan.waitMs, signal);
  }
  return null;
}

function describe(outcome: ConnectOutcome): string {
  switch (outcome.kind) {
    case 'closed':
      return `the server closed the connection (${outcome.code}${outcome.reason === '' ? '' : ` ${outcome.reason}`})`;
    case 'refused':
      return `the server refused the connection with ${outcome.status}`;
    case 'unreachable':
      return `the server cannot be reached: ${outcome.reason}`;
  }
}

/** One socket from the handshake to its end. Never rejects. */
function connectOnce(options: ConnectionOptions, version: string, onOpen: () => void): Promise<ConnectOutcome> {
  const { url, token, signal, silenceMs, handshakeMs } = options;
  return new Promise((resolve) => {
    const address = `${url.replace(/^http/, 'ws')}/api/v2/workspaceagents/me/connect?version=${version}&role=agent`;
    const socket = new WebSocket(address, {
      headers: { 'Coder-Session-Token': token.current() },
      perMessageDeflate: false,
      maxPayload: maxFrameBytes,
      handshakeTimeout: handshakeMs,
    });
    let openedAtMs: number | null = null;
    let failure = '';
    let refusal: ConnectOutcome | null = null;
    let watchdog: NodeJS.Timeout | undefined;
    const alive = (): void => {
      clearTimeout(watchdog);
      watchdog = setTimeout(() => socket.terminate(), silenceMs);
    };
    const close = (): void => socket.close(1000);
    signal.addEventListener('abort', close, { once: true });
    socket.on('open', () => {
      openedAtMs = performance.now();
      alive();
      onOpen();
    });
    socket.on('ping', alive);
    socket.on('message', (data, isBinary) => {
      alive();
      const frame = isBinary ? null : parseFrame((data as Buffer).toString('utf8'));
      if (frame !== null)
        options.onFrame(frame, (reply) => {
          if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(reply));
        });
    });
    socket.on('unexpected-response', (request, response) => {
      const advertised = response.headers['coder-agent-api-version'];
      refusal = {
        kind: 'refused',
        status: response.statusCode ?? 0,
        retryAfterMs: retryAfterMs(response.headers['retry-after'], Date.now()),
        advertisedVersion: typeof advertised === 'string' ? advertised : null,
      };
      response.resume();
      request.destroy();
      socket.terminate();
    });
    socket.on('error', (err) => (failure ||= messageOf(err)));
    socket.on('close', (code, reason) => {
      clearTimeout(watchdog);
      signal.removeEventListener('abort', close);
      if (refusal !== null) resolve(refusal);
      else if (openedAtMs !== null)
        resolve({ kind: 'closed', code, reason: reason.toString('utf8'), openMs: performance.now() - openedAtMs });
      else resolve({ kind: 'unreachable', reason: failure || 'no answer' });
    });
  });
}

/** null for what this version does not understand: a newer server may say more. */
function parseFrame(text: string): ServerFrame | null {
  try {
    const frame = JSON.parse(text) as ServerFrame | null;
    return typeof frame === 'object' && frame !== null && typeof frame.type === 'string' ? frame : null;
  } catch {
    return null;
  }
}
