import { fileURLToPath } from 'node:url';
import { randomUUID } from 'node:crypto';
import type postgres from 'postgres';
import { PREBUILDS_SYSTEM_USER_ID } from '../../domain/ids.ts';
import { isReady } from '../../scripts/stack/launch.ts';
import type { ReadyStack } from '../../scripts/stack/ensure.ts';
import { freePort, waitFor } from '../../toolchain/process.ts';
import { startChild } from '../agents/child.ts';
import { type InsertedPreset, insertPools } from '../pools/rows.ts';
import { type Api, apiOf } from '../stack.ts';

/** No provisioner has it: what is claimed waits for Terraform, whose work is not the API's. */
const unserved = { bench: 'nobody' };

export interface Pool extends InsertedPreset {
  /** Claims one and answers its id. */
  claim(): Promise<string>;
  /** The same by the bare server, of a table with as many rows. */
  claimBare(): Promise<string>;
}

export interface ClaimBed {
  readonly api: Api;
  readonly sql: postgres.Sql;
  pause(paused: boolean): Promise<unknown>;
  /** A new pool of so many prebuilds that are ready; `pure` = their agents are handed over at the claim. */
  fill(options: { ready: number; pure: boolean }): Promise<Pool>;
}

/** Our API in the stack, and the bare server beside it with a table of the same columns and indexes. */
export async function withClaimBed(
  { stack, postgresUrl, sql }: { stack: ReadyStack; postgresUrl: string; sql: postgres.Sql },
  work: (bed: ClaimBed) => Promise<void>,
): Promise<void> {
  const api = apiOf(stack);
  const { id: ownerId } = await api.get<{ id: string }>('/users/me');
  await sql`create schema bench`;
  await sql`create table bench.pool (like workspaces including all)`;
  const port = await freePort();
  const entry = fileURLToPath(new URL('../bare/claim.mjs', import.meta.url));
  const server = startChild({ args: [entry, String(port), postgresUrl, PREBUILDS_SYSTEM_USER_ID], env: {} });
  const url = `http://127.0.0.1:${port}`;
  let pools = 0;
  let names = 0;
  try {
    if (!(await waitFor(() => isReady(`${url}/healthz`), 30_000, 50)))
      throw new Error('the bare server does not answer');
    await work({
      api,
      sql,
      pause: (paused) => api.put('/prebuilds/settings', { reconciliation_paused: paused }),
      async fill({ ready, pure }) {
        // What was claimed before is over: a queue of hundreds is not what is measured.
        await sql`update provisioner_jobs set started_at = now(), completed_at = now()
          where completed_at is null and tags @> ${sql.json(unserved)}::jsonb`;
        await sql`update workspace_builds b set active = false from provisioner_jobs j
          where j.id = b.job_id and b.active and j.completed_at is not null`;
        const name = `bench-${(pools += 1)}`;
        const [preset] = await insertPools(sql, {
          name,
          presets: 1,
          active: true,
          desired: ready,
          ready,
          tags: unserved,
          pure,
        });
        const { id, templateId } = preset!;
        await sql`insert into bench.pool select * from workspaces where template_id = ${templateId}`;
        await sql`vacuum analyze bench.pool`;
        const nextName = () => `claim-${(names += 1)}-${randomUUID().slice(0, 8)}`;
        return {
          ...preset!,
          claim: async () => {
            const body = { name: nextName(), template_id: templateId, template_version_preset_id: id };
            return (await api.post<{ id: string }>('/users/me/workspaces', body)).id;
          },
          claimBare: async () => {
            const response = await fetch(`${url}/claim`, {
              method: 'POST',
              headers: { 'Content-Type': 'application/json' },
              body: JSON.stringify({ name: nextName(), owner_id: ownerId, template_id: templateId }),
            });
            if (!response.ok) throw new Error(`bare claim: ${response.status} ${await response.text()}`);
            return ((await response.json()) as { id: string }).id;
          },
        };
      },
    });
  } finally {
    await server.end('SIGKILL');
  }
}
