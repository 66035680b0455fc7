import { readFileSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { expect, test } from 'vitest';

const root = resolve(import.meta.dirname, '../..');
const folders = ['activities', 'api', 'commands', 'db/queries', 'ingest', 'telemetry', 'workers'];
const sources = folders.flatMap((folder) =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => ({ path: `${folder}/${name}`, text: readFileSync(join(root, folder, name), 'utf8') })),
);

/** Reads of the table itself: drizzle's `from` and joins, and SQL as text. Writes are `insert into`, `update` and `delete from`. */
const reads = [/\b(?:from|Join)\(workspaceAgents\b/, /\b(?:from|join)\s+workspace_agents\b(?!\s+a?\s*using)/i];
/** These lock the row that they are about to change, and say `not deleted` themselves. */
const lockers = ['db/queries/agent-lifecycles.ts', 'db/queries/agent-logs.ts'];
/** A child that is deleted once more was a child; what a deleted agent has left is purged as well. */
const exceptions = [...lockers, 'db/queries/sub-agents.ts', 'db/queries/upkeep.ts'];

test('deleted agents are invisible: every read goes through the view of the live ones', () => {
  expect(sources.length).toBeGreaterThan(100);
  const offenders = sources
    .filter(({ path, text }) => !exceptions.includes(path) && reads.some((read) => read.test(text)))
    .map(({ path }) => path);
  expect(offenders).toEqual([]);
  for (const path of lockers)
    expect(sources.find((source) => source.path === path)?.text).toMatch(/not deleted|workspaceAgents\.deleted, false/);
});

test('an agent request never reads a Terraform state', () => {
  const offenders = sources
    .filter(({ path }) => path.startsWith('ingest/') || /\/(?:agent|sub-agent)[\w-]*\.ts$/.test(path))
    .filter(({ text }) => /workspaceBuildStates|workspace_build_states/.test(text))
    .map(({ path }) => path);
  expect(offenders).toEqual([]);
});
