import { randomBytes, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import postgres from 'postgres';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { connect } from '../../db/client.ts';
import { createColumnCipher } from '../../db/encryption.ts';
import { getBuildState, getStartingState } from '../../db/queries/workspace-build-states.ts';
import { withDatabase } from '../../toolchain/postgres.ts';
import { testPostgresAdminUrl } from '../support/services.ts';

const name = `migrations_${randomBytes(6).toString('hex')}`;
const admin = () => postgres(testPostgresAdminUrl(), { max: 1, onnotice: () => undefined });
let sql: postgres.Sql;
beforeAll(async () => {
  const server = admin();
  await server`create database ${server(name)}`;
  await server.end();
  sql = postgres(withDatabase(testPostgresAdminUrl(), name), { max: 1, onnotice: () => undefined });
});
afterAll(async () => {
  await sql.end();
  const server = admin();
  await server`drop database ${server(name)} with (force)`;
  await server.end();
});

const apply = async (file: string): Promise<void> => {
  const text = readFileSync(new URL(`../../db/migrations/${file}.sql`, import.meta.url), 'utf8');
  for (const statement of text.split('--> statement-breakpoint')) await sql.unsafe(statement);
};

test('states from before there were versions are versions now, in the order of their builds, and still readable', async () => {
  await apply('0000_foundation');
  await apply('0001_seeds-triggers-views');
  // Only what the states hang on; the rest of a real database has nothing to do with it.
  await sql`set session_replication_role = replica`;
  const cipher = createColumnCipher([Buffer.alloc(32, 3).toString('base64')]);
  const [first, second] = [randomUUID(), randomUUID()];
  const stateOf = (workspace: string, number: number) => `{"of":"${workspace}","build":${number}}`;
  const builds: { id: string; workspace: string; number: number }[] = [];
  for (const [workspace, numbers] of [
    [first, [3, 1, 2]],
    [second, [5]],
  ] as const)
    for (const number of numbers) {
      const id = randomUUID();
      builds.push({ id, workspace, number });
      await sql`
        insert into workspace_builds (id, created_at, updated_at, workspace_id, build_number, template_version_id, transition,
          initiator_id, job_id, is_latest, active)
        values (${id}, now(), now(), ${workspace}, ${number}, ${randomUUID()}, 'start', ${randomUUID()}, ${randomUUID()}, false, false)`;
      const state = cipher.encrypt(`workspace_build_states:state:${id}`, Buffer.from(stateOf(workspace, number)));
      await sql`
        insert into workspace_build_states (workspace_build_id, state, state_key_id, serial, lineage, updated_at)
        values (${id}, ${state}, ${cipher.keyId}, ${number * 10}, 'l', now())`;
    }
  for (const id of [first, second])
    await sql`
      insert into workspaces (id, created_at, updated_at, owner_id, organization_id, template_id, name, last_used_at)
      values (${id}, now(), now(), ${randomUUID()}, ${randomUUID()}, ${randomUUID()}, ${id.slice(0, 8)}, now())`;
  await sql`set session_replication_role = origin`;
  await apply('0002_state-versions-and-continuations');

  const rows = await sql`
    select s.workspace_id, s.version, s.source, s.checksum, b.build_number from workspace_build_states s
    join workspace_builds b on b.id = s.workspace_build_id order by s.workspace_id = ${first} desc, s.version`;
  expect(
    rows.map((row) => [row.workspace_id === first, row.version, row.build_number, row.source, row.checksum]),
  ).toEqual([
    [true, 1, 1, 'build', ''],
    [true, 2, 2, 'build', ''],
    [true, 3, 3, 'build', ''],
    [false, 1, 5, 'build', ''],
  ]);
  const { db, close } = connect(withDatabase(testPostgresAdminUrl(), name), { max: 1, applicationName: 'test' });
  for (const { id, workspace, number } of builds)
    expect((await getBuildState(db, cipher, id))?.bytes.toString()).toBe(stateOf(workspace, number));
  const start = await getStartingState(db, cipher, { workspaceId: first, buildNumber: 2 });
  expect(start?.bytes.toString()).toBe(stateOf(first, 2));
  await close();
});
