/** The least that an HTTP API on our libraries takes. */
import { serve } from '@hono/node-server';
import { Hono } from 'hono';

const app = new Hono();
app.get('/', (c) => c.text('ok'));
serve({ fetch: app.fetch, hostname: '127.0.0.1', port: 0 });
process.on('SIGTERM', () => process.exit(0));
