import { sql } from 'drizzle-orm';
import { randomUUID } from 'node:crypto';
import {
  type TestAgent as AgentRow,
  insertAgentOf as insertAgentRow,
  insertAppOf,
  insertScriptOf,
} from './agent-rows.ts';
import type { TestApi } from './api.ts';
import { agentStatesChannel, workspacesChannel } from '../../db/notifications.ts';
import { insertWorkspaceOf } from './template-rows.ts';

type Template = Parameters<typeof insertWorkspaceOf>[1];

export interface TestAgent extends AgentRow {
  /** Ids by slug. */
  readonly apps: Readonly<Record<string, string>>;
  /** Ids by display name. */
  readonly scripts: Readonly<Record<string, string>>;
}

export interface NewTestAgent {
  readonly workspaceId: string;
  /** Default: a resource of its own in the workspace's latest build. */
  readonly resourceId?: string;
  readonly name?: string;
  readonly token?: string;
  readonly parentId?: string;
  readonly instanceId?: string;
  readonly apiKeyScope?: 'all' | 'no_user_data';
  readonly environment?: Readonly<Record<string, string>>;
  /** It has an open socket, as far as the rows say. */
  readonly connected?: boolean;
  readonly troubleshootingUrl?: string;
  readonly apps?: readonly { readonly slug: string; readonly healthcheckUrl?: string }[];
  readonly scripts?: readonly string[];
}

/** An agent of the workspace's latest build with apps and scripts by name. */
export async function insertAgentOf(api: TestApi, agent: NewTestAgent): Promise<TestAgent> {
  const { db } = api;
  const row = await insertAgentRow(api, agent.workspaceId, {
    ...(agent.token !== undefined && { token: agent.token }),
    ...(agent.resourceId !== undefined && { resourceId: agent.resourceId }),
    ...(agent.connected === true && { connectedAt: new Date() }),
    columns: {
      name: agent.name ?? 'main',
      parentId: agent.parentId ?? null,
      authInstanceId: agent.instanceId ?? null,
      apiKeyScope: agent.apiKeyScope ?? 'all',
      environmentVariables: agent.environment === undefined ? null : { ...agent.environment },
      troubleshootingUrl: agent.troubleshootingUrl ?? '',
    },
  });
  const apps: Record<string, string> = {};
  for (const { slug, healthcheckUrl = '' } of agent.apps ?? [])
    apps[slug] = await insertAppOf(db, row.id, {
      slug,
      displayName: slug,
      healthcheckUrl,
      health: healthcheckUrl === '' ? 'disabled' : 'initializing',
    });
  const scripts: Record<string, string> = {};
  for (const displayName of agent.scripts ?? [])
    scripts[displayName] = await insertScriptOf(db, row.id, { displayName });
  return { ...row, apps, scripts };
}

/** A running workspace of the given owner with one agent. */
export async function insertRunningAgent(
  api: TestApi,
  template: Template,
  agent: Omit<NewTestAgent, 'workspaceId'> & { ownerId?: string } = {},
): Promise<TestAgent> {
  const { ownerId = api.owner.id, ...rest } = agent;
  return insertAgentOf(api, { workspaceId: await insertWorkspaceOf(api.db, template, { ownerId }), ...rest });
}

/** Notifications for these workspaces while `work` runs. */
export async function workspaceEvents(
  api: TestApi,
  workspaceId: string,
  work: () => Promise<unknown>,
): Promise<number> {
  let events = 0;
  const count = (payload: string) => {
    if (payload.split(',').includes(workspaceId)) events += 1;
  };
  const listening = await Promise.all(
    [workspacesChannel, agentStatesChannel].map((channel) => api.deps.sql.listen(channel, count)),
  );
  await work();
  // Notifications come in order: once this one is there, so are all before it.
  const mark = randomUUID();
  await new Promise<void>((done) => {
    void api.deps.sql
      .listen('berth_test_mark', (payload) => {
        if (payload === mark) done();
      })
      .then(() => api.db.execute(sql`select pg_notify('berth_test_mark', ${mark})`));
  });
  await Promise.all(listening.map(({ unlisten }) => unlisten()));
  return events;
}
