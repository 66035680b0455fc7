import { serve } from '@hono/node-server';
import type { WebSocketServerLike } from '@hono/node-server';
import { setMaxListeners } from 'node:events';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { WebSocketServer } from 'ws';
import { loadAgentBundle } from '../agent/bundle.ts';
import { createPasswordHasher } from '../commands/password-hash.ts';
import { createTemporalStarter, lazyClient, requestDeadlineMs } from '../commands/temporal.ts';
import { loadConfig } from '../config.ts';
import { connect } from '../db/client.ts';
import { migrate } from '../db/migrate.ts';
import { createColumnCipher, loadEncryptionKeys } from '../db/encryption.ts';
import { storeAgentBundle } from '../db/queries/files.ts';
import { createListener } from '../db/notifications.ts';
import { countAgentsByStatus, readAgentNames } from '../db/queries/agent-gauges.ts';
import { readPrebuildGauges } from '../db/queries/prebuild-gauges.ts';
import { createAgentIngest } from '../ingest/agent-ingest.ts';
import { createAgentMetrics } from '../telemetry/agent-metrics.ts';
import { createLogger } from '../telemetry/logger.ts';
import { serveMetrics } from '../telemetry/metrics-listener.ts';
import { createMetrics } from '../telemetry/metrics.ts';
import { createPrebuildMetrics } from '../telemetry/prebuild-metrics.ts';
import { createApp } from './app.ts';
import { version } from './version.ts';

/** Requests that are still running when the process is told to stop get this long. */
const drainMs = 25_000;
const keepAliveMs = 65_000;
/** Answers of agents are the largest messages we take (spec/05 §7). */
const maxMessageBytes = 256 * 1024;

const config = loadConfig();
const logger = createLogger({ level: config.BERTH_LOG_LEVEL, component: 'api' });

async function start(): Promise<() => Promise<void>> {
  if (config.CODER_PG_CONNECTION_URL === undefined)
    throw new Error('CODER_PG_CONNECTION_URL is not set: `npm run up` starts a database and sets it');
  // Any number of replicas may start at once: one migrates, the others wait and find nothing to do.
  await migrate(config.CODER_PG_CONNECTION_URL);
  const { db, sql, close } = connect(config.CODER_PG_CONNECTION_URL, {
    max: config.BERTH_PG_POOL_SIZE,
    applicationName: 'berth-api',
  });
  const listener = await createListener(sql);
  const metrics = createMetrics({ version });
  const stopping = new AbortController();
  // Every stream waits for it.
  setMaxListeners(0, stopping.signal);
  const keys = loadEncryptionKeys(
    config.CODER_EXTERNAL_TOKEN_ENCRYPTION_KEYS,
    join(config.BERTH_DATA_DIR, 'encryption.key'),
  );
  const bundle = await loadAgentBundle({ directory: join(config.BERTH_DATA_DIR, 'agent') });
  await storeAgentBundle(db, bundle.code);
  const now = () => new Date();
  const agents = createAgentIngest({
    db,
    listener,
    logger,
    metrics,
    usedEveryMs: config.BERTH_USAGE_FLUSH_INTERVAL,
    now,
  });
  const agentMetrics = createAgentMetrics({
    metrics,
    logger,
    collect: config.CODER_PROMETHEUS_COLLECT_AGENT_STATS,
    aggregateBy: config.CODER_PROMETHEUS_AGGREGATE_AGENT_STATS_BY,
    readPlaces: (agentIds) => readAgentNames(db, agentIds),
    readStatuses: () => countAgentsByStatus(db),
    now,
  });
  const prebuildMetrics = config.CODER_PROMETHEUS_ENABLE
    ? createPrebuildMetrics({ metrics, logger, read: (at) => readPrebuildGauges(db, at), now })
    : undefined;
  const app = createApp({
    db,
    sql,
    config,
    logger,
    metrics,
    // Connects at its first use, so reads are served while Temporal is down.
    temporal: createTemporalStarter(lazyClient(config, requestDeadlineMs)),
    passwords: createPasswordHasher(),
    cipher: createColumnCipher(keys),
    listener,
    agents,
    agentMetrics,
    shutdown: stopping.signal,
    now,
  });
  const closeMetrics = config.CODER_PROMETHEUS_ENABLE
    ? await serveMetrics(metrics, { address: config.BERTH_METRICS_ADDRESS ?? config.CODER_PROMETHEUS_ADDRESS, logger })
    : () => Promise.resolve();

  const separator = config.CODER_HTTP_ADDRESS.lastIndexOf(':');
  const hostname = config.CODER_HTTP_ADDRESS.slice(0, separator).replace(/^\[|\]$/g, '');
  const port = Number(config.CODER_HTTP_ADDRESS.slice(separator + 1));
  const sockets = new WebSocketServer({ noServer: true, maxPayload: maxMessageBytes });
  // The two declarations differ only in `| undefined` of optional fields.
  const websocket = { server: sockets as unknown as WebSocketServerLike };
  const server = serve({ fetch: app.fetch, hostname, port, websocket }, (address) =>
    logger.info({ address: `${address.address}:${address.port}`, version }, 'API is listening'),
  );
  // Agents report each ten to thirty seconds: their connections stay open in between.
  if ('keepAliveTimeout' in server) server.keepAliveTimeout = keepAliveMs;
  server.on('error', (err) => {
    logger.fatal({ err }, 'API cannot listen');
    process.exit(1);
  });

  return async () => {
    // Streams end now (1001), readyz turns red, no new connections; requests in flight are finished.
    stopping.abort();
    const agentsClosed = agents.close();
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    if ('closeIdleConnections' in server) server.closeIdleConnections();
    const late = setTimeout(() => {
      if ('closeAllConnections' in server) server.closeAllConnections();
      // Upgraded connections are no longer the server's own.
      for (const socket of sockets.clients) socket.terminate();
    }, drainMs);
    // Whatever still holds the server open: the process ends.
    await Promise.race([closed, delay(drainMs + 5_000)]);
    clearTimeout(late);
    await agentsClosed;
    prebuildMetrics?.close();
    await closeMetrics();
    await listener.close();
    await close();
  };
}

try {
  const stop = await start();
  let ending = false;
  const end = (signal: NodeJS.Signals) => {
    // A second signal means: now.
    if (ending) process.exit(1);
    ending = true;
    logger.info({ signal }, 'API is stopping');
    stop().then(
      () => process.exit(0),
      (err: unknown) => {
        logger.error({ err }, 'API did not stop cleanly');
        process.exit(1);
      },
    );
  };
  process.on('SIGTERM', end);
  process.on('SIGINT', end);
} catch (err) {
  logger.fatal({ err }, 'API failed to start');
  process.exit(1);
}
