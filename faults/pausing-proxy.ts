import { type Server, type Socket, connect, createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { Transform } from 'node:stream';

/** A TCP proxy on the loopback interface that can hold everything back, as a network does that has fallen apart. */
export interface PausingProxy {
  readonly port: number;
  /** From now on nothing gets through: no byte, no new connection, no end of one. Nobody is told. */
  pause(): void;
  /** What was held back goes on its way. */
  resume(): void;
  close(): void;
}

export async function startPausingProxy(target: { host: string; port: number }): Promise<PausingProxy> {
  const sockets = new Set<Socket>();
  const waiting = new Set<() => void>();
  let paused = false;
  const whenOpen = (go: () => void): void => {
    if (paused) waiting.add(go);
    else go();
  };
  const gate = (): Transform =>
    new Transform({
      transform: (chunk, _encoding, done) => whenOpen(() => done(null, chunk)),
      flush: (done) => whenOpen(() => done()),
    });
  const join = (client: Socket): void => {
    const upstream = connect({ ...target, noDelay: true, allowHalfOpen: true });
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from);
      from.on('error', () => undefined);
      from.on('close', () => {
        sockets.delete(from);
        whenOpen(() => to.destroy());
      });
      from.pipe(gate()).pipe(to);
    }
  };
  const server: Server = createServer({ noDelay: true, allowHalfOpen: true, pauseOnConnect: true }, (client) => {
    sockets.add(client);
    client.on('error', () => undefined);
    whenOpen(() => join(client));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    pause: () => void (paused = true),
    resume() {
      paused = false;
      const late = [...waiting];
      waiting.clear();
      for (const go of late) go();
    },
    close() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
