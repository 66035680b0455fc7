import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createApp } from '../api/app.ts';
import { openApiDocument } from '../api/openapi.ts';
import { packageRoot, version } from '../api/version.ts';
import { createPasswordHasher } from '../commands/password-hash.ts';
import { loadConfig } from '../config.ts';
import { connect } from '../db/client.ts';
import { createColumnCipher } from '../db/encryption.ts';
import { createAgentIngest } from '../ingest/agent-ingest.ts';
import { createAgentMetrics } from '../telemetry/agent-metrics.ts';
import { createLogger } from '../telemetry/logger.ts';
import { createMetrics } from '../telemetry/metrics.ts';

/**
 * Writes `docs/openapi.json` from the routes; `--check` only compares and fails when they differ. No service is needed:
 * the connections behind the app are opened by their first use, and documents use none.
 */
const path = join(packageRoot, 'docs/openapi.json');
const { db, sql, close } = connect('postgres://127.0.0.1:1/none', { max: 1, applicationName: 'berth-openapi' });
const logger = createLogger({ level: 'silent', component: 'openapi' });
const metrics = createMetrics({ version, defaultMetrics: false });
const listener = { wakeUps: async function* () {}, subscribe: () => () => undefined, close: async () => undefined };
const now = () => new Date(0);
const agents = createAgentIngest({ db, listener, logger, metrics, now });
const agentMetrics = createAgentMetrics({
  metrics,
  logger,
  collect: false,
  aggregateBy: [],
  readPlaces: async () => new Map(),
  readStatuses: async () => [],
  now,
});
const app = createApp({
  db,
  sql,
  config: loadConfig({}),
  logger,
  metrics,
  temporal: { start: async () => undefined, cancel: async () => undefined, isReachable: async () => false },
  passwords: createPasswordHasher(),
  cipher: createColumnCipher([Buffer.alloc(32).toString('base64')]),
  listener,
  agents,
  agentMetrics,
  shutdown: new AbortController().signal,
  now,
});
const text = `${JSON.stringify(openApiDocument(app), null, 2)}\n`;
await agents.close();
await close();

if (process.argv.includes('--check')) {
  const current = existsSync(path) ? readFileSync(path, 'utf8') : '';
  if (current !== text) {
    console.error('docs/openapi.json does not match the routes; run: npm run openapi');
    process.exit(1);
  }
  console.log('docs/openapi.json matches the routes');
} else {
  writeFileSync(path, text);
  console.log(`wrote docs/openapi.json (${Object.keys(openApiDocument(app).paths).length} paths)`);
}
