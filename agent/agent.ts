import { holdConnection } from './connection.ts';
import { type Instance, type InstanceDeps, startInstance } from './instance.ts';
import { createInstanceQueue } from './instance-queue.ts';
import type { AgentFrame, Manifest, ServerFrame } from './protocol.ts';
import { watchReinit } from './reinit-stream.ts';
import { answerRequest } from './requests.ts';
import { wait } from './wait.ts';

export interface Agent {
  /** Resolves with the process's exit code: 0 after `shutdown`, 2 when the server refused the token for too long. */
  readonly run: () => Promise<number>;
  /** Stop scripts, reports, then `run` ends. A second call changes nothing. */
  readonly shutdown: () => Promise<void>;
  readonly current: () => Instance | null;
}

/** One agent: its connection, the instance that is at work and what replaces it. Source: spec/05. */
export function createAgent(deps: InstanceDeps): Agent {
  const { settings, times, client, log, token } = deps;
  /** Of the process: ends connection and streams. */
  const ended = new AbortController();
  const reinit = new AbortController();
  ended.signal.addEventListener('abort', () => reinit.abort(), { once: true });
  let watching = false;

  /** Until there is one: whatever the server answers instead may pass (409: a claim is under way). */
  async function fetchManifest(signal: AbortSignal): Promise<Manifest | null> {
    while (!signal.aborted) {
      const call = { method: 'GET', path: '/workspaceagents/me/manifest', signal } as const;
      const answer = await client.deliver(call, times.manifest, [409]);
      if (answer?.status === 200) return answer.body as Manifest;
      if (answer !== null) log.warn(`the manifest was refused with ${answer.status}; trying again`);
      await wait(times.manifest.maxMs, signal);
    }
    return null;
  }

  const queue = createInstanceQueue({
    fetchManifest,
    newOwnerWithinMs: times.newOwnerWithinMs,
    retryMs: times.manifest.minMs,
    log,
    start(manifest) {
      const instance = startInstance(manifest, deps);
      watchForClaim();
      return instance;
    },
  });

  /** One loop for the life of the process: after its event or 409 nobody asks again (spec/05 §14). */
  function watchForClaim(): void {
    if (watching) return;
    watching = true;
    void watchReinit({
      client,
      backoff: times.reinit,
      silenceMs: times.silenceMs,
      log,
      signal: reinit.signal,
      onEvent: queue.reinit,
    });
  }

  function onFrame(frame: ServerFrame, answer: (frame: AgentFrame) => void): void {
    switch (frame.type) {
      case 'shutdown':
        log.info(`shutdown: ${frame.reason}`);
        // The process stays: a suspended machine that wakes up gets a new build, and with it a new instance.
        void queue.current()?.close('graceful');
        return;
      case 'reinit':
        reinit.abort();
        return queue.reinit(frame.event);
      case 'manifest_changed':
        return queue.look();
      case 'request':
        void answerRequest(frame, queue.current()).then(answer);
        return;
    }
  }

  let stopping: Promise<void> | null = null;
  async function stop(mode: 'graceful' | 'silent'): Promise<void> {
    await queue.stop();
    await queue.current()?.close(mode);
    ended.abort();
  }

  return {
    current: queue.current,
    shutdown: () => (stopping ??= stop('graceful')),
    async run() {
      const neverGivesUp = settings.retryForever || settings.auth !== 'token';
      const code = await holdConnection({
        url: settings.url,
        token,
        rules: {
          backoff: times.connect,
          spreadMs: settings.reconnectSpreadMs,
          supersededWaitMs: times.supersededWaitMs,
          giveUpAfterMs: neverGivesUp ? null : times.giveUpAfterMs,
        },
        silenceMs: times.silenceMs,
        handshakeMs: times.request,
        log,
        signal: ended.signal,
        onOpen: queue.look,
        onFrame,
      });
      if (code !== null) {
        log.warn('the server has refused the token for too long: this build is over');
        await (stopping ??= stop('silent'));
        return code;
      }
      await stopping;
      return 0;
    },
  };
}
