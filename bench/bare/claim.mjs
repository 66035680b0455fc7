/**
 * The least that gives one of many rows to one caller, behind the same HTTP server: Hono on Node, the same driver and size of
 * the pool, one statement on a table like ours. No sessions, permissions, validation, builds.
 */
import { serve } from '@hono/node-server';
import { Hono } from 'hono';
import postgres from 'postgres';

const [port, url, prebuilds] = process.argv.slice(2);
const sql = postgres(url, { max: 10, onnotice: () => undefined });
const app = new Hono();
app.get('/healthz', (c) => c.text('ok'));
app.post('/claim', async (c) => {
  const { name, owner_id: owner, template_id: template } = await c.req.json();
  const [row] = await sql`
    update bench.pool set owner_id = ${owner}, name = ${name}, claimed_at = now(), updated_at = now(), last_used_at = now()
    where id = (
      select id from bench.pool where template_id = ${template} and owner_id = ${prebuilds} and deleted = false
      order by created_at, id limit 1 for update skip locked)
    returning *`;
  return row === undefined ? c.json({ message: 'the pool is empty' }, 404) : c.json(row, 201);
});
serve({ fetch: app.fetch, hostname: '127.0.0.1', port: Number(port) });
process.on('SIGTERM', () => process.exit(0));
