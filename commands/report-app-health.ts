import { type Db, transaction } from '../db/client.ts';
import { notify, agentStatesChannel } from '../db/notifications.ts';
import { type AppHealthState, listAppHealths, setAppHealths } from '../db/queries/agent-apps.ts';
import type { AgentIdentity } from '../db/queries/agent-tokens.ts';
import { DomainError } from '../domain/errors.ts';

export type AppHealths = Readonly<Record<string, AppHealthState>>;

/**
 * Stores what an agent found of its apps. One unknown, foreign or unchecked app refuses the whole report; what has not changed
 * is neither written nor told. Source: spec/05 §10.
 */
export const createReportAppHealth = (deps: { db: Db }) =>
  async function reportAppHealth(agent: AgentIdentity, healths: AppHealths): Promise<void> {
    const apps = new Map((await listAppHealths(deps.db, agent.agentId)).map((app) => [app.id, app]));
    const entries = Object.entries(healths);
    for (const [id] of entries) {
      const app = apps.get(id);
      if (app === undefined) throw new DomainError('NOT_FOUND', `This agent has no app ${id}`);
      if (app.healthcheckUrl === '') throw new DomainError('NOT_FOUND', `The app ${id} has no health check`);
    }
    const changed = entries.filter(([id, health]) => apps.get(id)?.health !== health);
    if (changed.length === 0) return;
    await transaction(deps.db, async (tx) => {
      const written = await setAppHealths(tx, agent.agentId, changed);
      if (written > 0) await notify(tx, agentStatesChannel, agent.workspaceId);
    });
  };
