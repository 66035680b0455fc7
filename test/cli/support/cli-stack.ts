import { createServer } from 'node:net';
import { connect } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import { freePort } from '../../../toolchain/process.ts';
import type { TestApi } from '../../support/api.ts';
import { serveApi } from '../../support/served-api.ts';
import { startApiStack } from '../../support/stack.ts';
import { createCli } from './run.ts';
import type { Cli } from './run.ts';

/** The whole stack with its API on a port, and a CLI that is signed in as the site owner. */
export interface CliStack {
  readonly url: string;
  readonly api: TestApi;
  readonly cli: Cli;
  stop(): Promise<void>;
}

export async function startCliStack(
  env: Readonly<Record<string, string>> = {},
  options: { reconcileEveryMs?: number } = {},
): Promise<CliStack> {
  // Agents are told the address when their workspace is built, so it stands before the server does.
  const port = await freePort();
  const { api, stop } = await startApiStack({
    ...options,
    env: { CODER_ACCESS_URL: `http://127.0.0.1:${port}`, ...env },
  });
  const { url, close } = await serveApi(api, { port });
  return {
    url,
    api,
    cli: createCli({ url, token: api.ownerToken }),
    async stop() {
      await close();
      await stop();
    },
  };
}

export const templateDirectory = (name: string): string =>
  fileURLToPath(new URL(`../templates/${name}`, import.meta.url));
export const exampleDirectory = (name: string): string =>
  fileURLToPath(new URL(`../../../examples/templates/${name}`, import.meta.url));

/** A line between the CLI and the API that can be cut, or be down for a while. */
export interface Line {
  readonly url: string;
  readonly connections: () => number;
  cut(): void;
  down(): Promise<void>;
  up(): Promise<void>;
  close(): Promise<void>;
}

export async function createLine(target: string): Promise<Line> {
  const { hostname, port } = new URL(target);
  const open = new Set<Socket>();
  let server: Server;
  const cut = (): void => {
    for (const socket of open) socket.destroy();
    open.clear();
  };
  const listen = async (at: number): Promise<number> => {
    server = createServer((near) => {
      const far = connect(Number(port), hostname);
      for (const [from, to] of [
        [near, far],
        [far, near],
      ] as const) {
        open.add(from);
        from.pipe(to);
        from.on('error', () => to.destroy());
        from.on('close', () => {
          open.delete(from);
          to.destroy();
        });
      }
    });
    await new Promise<void>((ready) => server.listen(at, '127.0.0.1', ready));
    return (server.address() as AddressInfo).port;
  };
  const own = await listen(0);
  const down = async (): Promise<void> => {
    const closed = new Promise<void>((done) => server.close(() => done()));
    cut();
    await closed;
  };
  return {
    url: `http://127.0.0.1:${own}`,
    connections: () => open.size / 2,
    cut,
    down,
    up: async () => void (await listen(own)),
    close: down,
  };
}
