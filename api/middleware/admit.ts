import type { MiddlewareHandler } from 'hono';
import { DomainError } from '../../domain/errors.ts';
import { resolveScopes } from '../../domain/scopes.ts';
import type { ApiEnv } from '../context.ts';
import type { Access, AuditedFailure } from '../route.ts';
import { auditFailures } from './audit-failures.ts';
import { type AgentRate, limitAgentRate } from './agent-rate.ts';
import { authenticate, authenticateAgents } from './authenticate.ts';
import { limitBody } from './body.ts';
import { requireCsrfProof } from './csrf.ts';
import { limitRate } from './rate-limit.ts';
import { limitTime } from './time-limit.ts';

export interface Admission {
  readonly access: Access;
  readonly rateLimit: 'api' | 'login' | 'upload' | 'identity' | 'none';
  readonly maxBodyBytes: number;
  readonly stream: boolean;
  readonly auditFailure: AuditedFailure | undefined;
  readonly agentRate: AgentRate;
  readonly freshAgent: boolean;
  readonly readsJson: boolean;
}

/** A key whose scopes leave out the declared permission gets 403 before anything is looked up (spec/06 §1.1). */
const requireScope =
  (access: Access): MiddlewareHandler<ApiEnv> =>
  async (c, next) => {
    if (typeof access === 'object' && resolveScopes(c.var.subject.scopes).vote(access.type, access.action) !== 1)
      throw new DomainError('FORBIDDEN', 'The scopes of this token do not cover this', {
        detail: `needs ${access.type}:${access.action}`,
      });
    await next();
  };

/** Everything between the matched route and its validators, in the order in which it runs. */
export function admit(admission: Admission): MiddlewareHandler<ApiEnv>[] {
  const { access, stream } = admission;
  const limited = limitBody(admission.maxBodyBytes, { json: admission.readsJson });
  // Agents have limits of their own: many of them may come from one address, and each comes often.
  if (access === 'agent')
    return [
      ...(stream ? [] : [limitTime('api')]),
      countReport,
      authenticateAgents({ fresh: admission.freshAgent, queryToken: stream }),
      limitAgentRate(admission.agentRate),
      limited,
    ];
  return [
    ...(stream ? [] : [limitTime(admission.rateLimit === 'upload' ? 'upload' : 'api')]),
    ...(access === 'public' ? [] : [authenticate({ queryToken: stream })]),
    ...(admission.rateLimit === 'none' ? [] : [limitRate(admission.rateLimit)]),
    ...(access === 'public' ? [] : [requireCsrfProof({ webSocket: stream })]),
    requireScope(access),
    ...(admission.auditFailure === undefined ? [] : [auditFailures(admission.auditFailure)]),
    limited,
  ];
}

/** What agents report, by the last word of its path. */
const countReport: MiddlewareHandler<ApiEnv> = async (c, next) => {
  await next();
  const pattern = c.get('routePattern');
  const kind = pattern.split('/').findLast((part) => part !== '' && !part.startsWith(':')) ?? '';
  c.get('deps').metrics.agentReported(kind, c.res.status);
};
