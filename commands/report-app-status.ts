import { type Db, transaction } from '../db/client.ts';
import { notify, agentStatesChannel } from '../db/notifications.ts';
import { findLatestAppStatus, insertAppStatus, isAiTaskBuild, lockAppBySlug } from '../db/queries/agent-apps.ts';
import type { AgentIdentity } from '../db/queries/agent-tokens.ts';
import {
  type AppStatusState,
  cleanStatusMessage,
  isSameStatus,
  isStatusActivity,
  statusMessageProblem,
  statusUriProblem,
} from '../domain/app-status.ts';
import { invalidField } from '../domain/errors.ts';
import { requireValid } from './caller.ts';
import type { RecordAiUse } from './ai-seats.ts';

/** Told after a status that keeps the workspace up; moves its deadline. */
export type OnActivity = (workspaceId: string, at: Date) => void;

interface Deps {
  readonly db: Db;
  readonly onActivity: OnActivity;
  readonly recordAiUse: RecordAiUse;
  now(): Date;
}

export interface AppStatusReport {
  readonly slug: string;
  readonly state: AppStatusState;
  readonly message: string;
  readonly uri: string;
}

/**
 * Appends a status of one of the agent's apps; one equal to the last leaves no trace. Throws INVALID_INPUT naming the field.
 * Source: spec/05 §10.
 */
export const createReportAppStatus = (deps: Deps) =>
  async function reportAppStatus(agent: AgentIdentity, report: AppStatusReport): Promise<void> {
    const { state } = report;
    const message = cleanStatusMessage(report.message);
    requireValid('message', statusMessageProblem(message));
    requireValid('uri', statusUriProblem(report.uri));
    const uri = report.uri === '' ? null : report.uri;
    const now = deps.now();
    const outcome = await transaction(deps.db, async (tx) => {
      const app = await lockAppBySlug(tx, agent.agentId, report.slug);
      if (app === undefined) throw invalidField('app_slug', `this agent has no app "${report.slug}"`);
      const last = await findLatestAppStatus(tx, app.id);
      if (last !== undefined && isSameStatus(last, { state, message, uri })) return { isNew: false, last };
      // Two within a millisecond, or a clock that was set back, must not change their order.
      const createdAt = last === undefined ? now : new Date(Math.max(now.getTime(), last.createdAt.getTime() + 1));
      const { agentId, workspaceId } = agent;
      await insertAppStatus(tx, { createdAt, agentId, appId: app.id, workspaceId, state, message, uri });
      await notify(tx, agentStatesChannel, workspaceId);
      return { isNew: true, last };
    });
    if (outcome.isNew && !agent.ownerIsSystem && isStatusActivity(state, outcome.last?.state))
      deps.onActivity(agent.workspaceId, now);
    if (!agent.ownerIsSystem && (await isAiTaskBuild(deps.db, agent.buildId)))
      await deps.recordAiUse({ userId: agent.ownerId, event: 'task', description: 'task app status' });
  };
