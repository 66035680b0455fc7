import { createServer } from 'node:http';
import type { Logger } from './logger.ts';
import type { Metrics } from './metrics.ts';

/**
 * Serves `/metrics` (also `/`) on a listener of its own, never on the public one. A taken port is no reason not to
 * start: it is logged and the process runs without the page. Resolves with what closes it. Source: spec/08 §1.
 */
export async function serveMetrics(
  metrics: Metrics,
  options: { address: string; logger: Logger },
): Promise<() => Promise<void>> {
  const { address, logger } = options;
  const { registry } = metrics;
  const server = createServer((request, response) => {
    const path = request.url?.split('?')[0];
    if (path !== '/metrics' && path !== '/') return void response.writeHead(404).end();
    registry.metrics().then(
      (text) => response.setHeader('Content-Type', registry.contentType).end(text),
      (err: unknown) => {
        logger.error({ err }, 'metrics could not be collected');
        response.writeHead(500).end();
      },
    );
  });
  const separator = address.lastIndexOf(':');
  const host = address.slice(0, separator);
  const port = Number(address.slice(separator + 1));
  const listening = await new Promise<boolean>((resolve) => {
    server.once('error', (err) => {
      logger.warn({ err, address }, 'metrics are not served');
      resolve(false);
    });
    server.listen(port, host, () => resolve(true));
  });
  if (listening) logger.info({ address }, 'metrics are served');
  return () => new Promise((resolve) => (listening ? server.close(() => resolve()) : resolve()));
}
