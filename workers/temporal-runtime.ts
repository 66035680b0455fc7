import { DefaultLogger, type LogLevel, Runtime } from '@temporalio/worker';
import { createServer } from 'node:http';
import { createServer as createTcpServer } from 'node:net';
import type { Registry } from 'prom-client';
import type { Logger } from '../telemetry/logger.ts';

/** The SDK logs through pino and serves its own metrics on a port of its own. Once per process, before any Worker. */
export function installRuntime(logger: Logger, sdkMetricsAddress: string): void {
  const sdk = logger.child({ component: 'temporal-sdk' });
  Runtime.install({
    logger: new DefaultLogger('INFO', ({ level, message, meta }) => {
      const { timestampNanos: _time, ...fields } = meta ?? {};
      sdk[pinoLevel(level)](fields, message);
    }),
    telemetryOptions: {
      logging: { forward: {}, filter: 'WARN' },
      metrics: {
        prometheus: {
          bindAddress: sdkMetricsAddress,
          unitSuffix: true,
          countersTotalSuffix: true,
          useSecondsForDurations: true,
        },
      },
    },
    shutdownSignals: [],
  });
}

const pinoLevel = (level: LogLevel) => level.toLowerCase() as 'trace' | 'debug' | 'info' | 'warn' | 'error';

/** A free loopback port for the SDK's metrics; our own page includes them. */
export async function freeLoopbackAddress(): Promise<string> {
  const server = createTcpServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no free port');
  return `127.0.0.1:${address.port}`;
}

/**
 * `/metrics` (ours and the SDK's), `/healthz`, `/readyz` of a worker process on `address` (host:port). Undefined address: no
 * server. Returns what closes it.
 */
export async function serveWorkerMetrics(options: {
  address: string | undefined;
  registry: Registry;
  sdkMetricsAddress: string;
  isReady: () => Promise<boolean>;
}): Promise<() => Promise<void>> {
  const { address, registry, sdkMetricsAddress, isReady } = options;
  if (address === undefined) return async () => undefined;
  const server = createServer((request, response) => {
    const answer = async () => {
      switch (request.url) {
        case '/healthz':
          return response.end('OK');
        case '/readyz': {
          const ready = await isReady();
          return response.writeHead(ready ? 200 : 503).end(ready ? 'OK' : 'not ready');
        }
        case '/metrics': {
          const sdk = await fetch(`http://${sdkMetricsAddress}/metrics`).then(
            (res) => res.text(),
            () => '',
          );
          return response.setHeader('content-type', registry.contentType).end(`${await registry.metrics()}\n${sdk}`);
        }
        default:
          return response.writeHead(404).end();
      }
    };
    answer().catch(() => response.writeHead(500).end());
  });
  const separator = address.lastIndexOf(':');
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(Number(address.slice(separator + 1)), address.slice(0, separator), resolve);
  });
  return () => new Promise((resolve) => server.close(() => resolve()));
}
