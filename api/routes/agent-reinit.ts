import { z } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { setTimeout as delay } from 'node:timers/promises';
import type { ReinitEvent } from '../../agent/protocol.ts';
import { hashTokenSecret } from '../../commands/authenticate.ts';
import { workspacesChannel } from '../../db/notifications.ts';
import { findAgentStart, findClaimFacts } from '../../db/queries/agent-manifests.ts';
import { DomainError } from '../../domain/errors.ts';
import { type ReinitDecision, planReinit } from '../../domain/reinit.ts';
import type { ApiEnv, App } from '../context.ts';
import { tokenOf } from '../middleware/authenticate.ts';
import { defineRoute } from '../route.ts';
import { json, queryFlag } from '../schemas.ts';
import { streamSse } from '../streams.ts';

const reinit = defineRoute({
  method: 'get',
  path: '/workspaceagents/me/reinit',
  access: 'agent',
  freshAgent: true,
  stream: true,
  tags: ['Agents'],
  summary: 'Waits until the workspace is claimed (SSE); 409 = stop asking',
  request: { query: z.object({ wait: queryFlag().optional() }) },
  responses: {
    200: json(
      z.object({ workspace_id: z.string(), user_id: z.string(), reason: z.string() }).openapi('ReinitializationEvent'),
      'One event',
    ),
    409: { description: 'There is nothing to wait for' },
  },
});

/** A process that has just begun may not have said so yet: before an event is sent it is looked at again. */
const settleMs = 2_000;

interface Decided {
  readonly decision: ReinitDecision;
  readonly event: ReinitEvent;
}

/** What stands in the database now; the agent is the one that the token stands for now (a claim gives it a new row). */
async function decide(c: Context<ApiEnv>, tokenHash: Buffer): Promise<Decided> {
  const { db, agents } = c.var.deps;
  const { workspaceId } = c.var.agent;
  const [facts, agent] = await Promise.all([
    findClaimFacts(db, workspaceId),
    agents.auth.find(tokenHash, { fresh: true }),
  ]);
  const start = agent === undefined ? undefined : await findAgentStart(db, agent.agentId);
  const started = start !== undefined && start.startedAt !== null;
  return {
    decision: planReinit(facts === undefined ? undefined : { ...facts, started }),
    event: { workspace_id: workspaceId, user_id: facts?.ownerId ?? '', reason: 'prebuild_claimed' },
  };
}

async function* waitForClaim(c: Context<ApiEnv>, tokenHash: Buffer, signal: AbortSignal): AsyncGenerator<ReinitEvent> {
  const { listener, metrics } = c.var.deps;
  let live = false;
  /** It is the process that ran in the pool: none that begins for the new owner by itself. */
  let fromPool = false;
  for await (const _ of listener.wakeUps(workspacesChannel, c.var.agent.workspaceId, { signal })) {
    const first = await decide(c, tokenHash);
    if (first.decision.kind === 'wait') {
      live = true;
      fromPool ||= first.decision.for === 'claim';
      continue;
    }
    // The client asks again and is told 409.
    if (first.decision.kind === 'refuse') return;
    if (!fromPool) await delay(settleMs, undefined, { signal }).catch(() => undefined);
    if (signal.aborted) return;
    const { decision, event } = fromPool ? first : await decide(c, tokenHash);
    if (decision.kind !== 'send') continue;
    c.var.logger.info(
      { workspace_id: event.workspace_id, agent_id: c.var.agent.agentId, owner_id: event.user_id },
      'the agent begins anew for a new owner',
    );
    metrics.agentReinit(live ? 'sent_live' : 'sent_replay');
    yield event;
    return;
  }
}

/** Source: spec/05 §14, spec/03 §15.1. */
export function registerAgentReinitRoutes(app: App): void {
  app.openapi(reinit, async (c) => {
    const tokenHash = hashTokenSecret(tokenOf(c, { queryToken: true })!.token.toLowerCase());
    const { decision } = await decide(c, tokenHash);
    if (decision.kind === 'refuse') {
      c.var.deps.metrics.agentReinit('conflict');
      throw new DomainError('CONFLICT', `There is nothing to wait for: ${decision.why}`);
    }
    return streamSse(c, (signal) => waitForClaim(c, tokenHash, signal)) as never;
  });
}
