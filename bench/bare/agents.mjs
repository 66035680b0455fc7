/**
 * The least that serves agents on our libraries: `ws` and Hono, every request answered from memory. No database, no
 * authentication, no checks.
 */
import { serve, upgradeWebSocket } from '@hono/node-server';
import { Hono } from 'hono';
import { WebSocketServer } from 'ws';

const app = new Hono();
const watchers = new Map();
const last = new Map();
const base = '/api/v2/workspaceagents';

app.get('/healthz', (c) => c.text('ok'));
app.post(`${base}/me/report-stats`, async (c) => {
  await c.req.json();
  return c.json({ report_interval: 30_000_000_000 });
});
app.post(`${base}/me/metadata`, async (c) => {
  const { metadata } = await c.req.json();
  const token = c.req.header('Coder-Session-Token');
  last.set(token, metadata);
  for (const send of watchers.get(token) ?? []) send();
  return c.body(null, 204);
});
app.get(`${base}/me/manifest`, (c) =>
  c.json({ agent_name: 'main', scripts: [], metadata: [], environment_variables: {} }),
);
app.get(`${base}/me/connect`, (c) => {
  let pinging;
  return upgradeWebSocket(c, {
    onOpen(_event, { raw }) {
      raw.ping();
      pinging = setInterval(() => raw.ping(), 15_000);
    },
    onClose: () => clearInterval(pinging),
  });
});
/** Who watches names the agent by its token: there is nothing here that knows its id. */
app.get(`${base}/:token/watch-metadata-ws`, (c) => {
  const token = c.req.param('token');
  let send;
  return upgradeWebSocket(c, {
    onOpen(_event, { raw }) {
      send = () => {
        const data = (last.get(token) ?? []).map((result) => ({ result, description: { key: result.key } }));
        raw.send(JSON.stringify({ type: 'data', data }));
      };
      watchers.set(token, (watchers.get(token) ?? new Set()).add(send));
      send();
    },
    onClose: () => watchers.get(token)?.delete(send),
  });
});

const server = new WebSocketServer({ noServer: true });
serve({ fetch: app.fetch, hostname: '127.0.0.1', port: Number(process.argv[2]), websocket: { server } });
process.on('SIGTERM', () => process.exit(0));
