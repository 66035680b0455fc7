import type { Context, MiddlewareHandler } from 'hono';
import { getCookie } from 'hono/cookie';
import { authenticateAgent, createAuthenticate } from '../../commands/authenticate.ts';
import type { TokenCarrier } from '../../commands/authenticate.ts';
import { DomainError } from '../../domain/errors.ts';
import type { ApiEnv } from '../context.ts';
import { keyStates } from '../key-states.ts';
import { countFailedAgent } from './agent-rate.ts';
import { sessionCookie } from './csrf.ts';

/**
 * The token and where it came from, in the order of spec/07 §3.2. A header equal to the cookie counts as a header, which
 * is the CSRF proof of clients that can set headers.
 */
export function tokenOf(
  c: Context<ApiEnv>,
  options: { queryToken: boolean },
): { token: string; carrier: TokenCarrier } | undefined {
  const header = c.req.header('Coder-Session-Token');
  if (header !== undefined && header !== '') return { token: header, carrier: 'header' };
  const bearer = /^Bearer\s+(\S+)$/i.exec(c.req.header('Authorization') ?? '')?.[1];
  if (bearer !== undefined) return { token: bearer, carrier: 'bearer' };
  const query = options.queryToken ? c.req.query('coder_session_token') : undefined;
  if (query !== undefined && query !== '') return { token: query, carrier: 'query' };
  const cookie = getCookie(c, sessionCookie);
  return cookie !== undefined && cookie !== '' ? { token: cookie, carrier: 'cookie' } : undefined;
}

/** Sets `subject` and `session`, or throws UNAUTHENTICATED. */
export const authenticate =
  (options: { queryToken: boolean }): MiddlewareHandler<ApiEnv> =>
  async (c, next) => {
    const { deps, clientIp, origin } = c.var;
    const given = tokenOf(c, options);
    if (given === undefined) throw new DomainError('UNAUTHENTICATED', 'You are not signed in');
    const check = createAuthenticate(deps);
    const { subject, session } = await check(given.token, { carrier: given.carrier, ip: clientIp, origin });
    c.set('subject', subject);
    c.set('session', session);
    c.set('logger', c.var.logger.child({ user_id: subject.id }));
    const again = () =>
      check(given.token, { carrier: given.carrier, ip: clientIp, origin }).then(
        () => true,
        (err: unknown) => !(err instanceof DomainError && err.code === 'UNAUTHENTICATED'),
      );
    // Streams ask for as long as they are open: all together, and only a key that is due to be touched by itself.
    c.set('stillAuthenticated', async () => {
      const state = await keyStates(deps).ask(session.keyId);
      return state === 'due' ? again() : state === 'valid';
    });
    c.set('origin', { ...origin, userId: subject.id });
    await next();
  };

/** Sets `agent` and its actor as `subject`, or throws UNAUTHENTICATED. Source: spec/05 §2. */
export const authenticateAgents =
  (options: { fresh: boolean; queryToken: boolean }): MiddlewareHandler<ApiEnv> =>
  async (c, next) => {
    const [deps, clientIp, origin] = [c.get('deps'), c.get('clientIp'), c.get('origin')];
    const given = tokenOf(c, options);
    const check = (fresh: boolean) => authenticateAgent(deps.agents.auth, given?.token, { fresh });
    const { agent, subject } = await check(options.fresh).catch((err: unknown) => {
      if (err instanceof DomainError) countFailedAgent(deps, clientIp);
      throw err;
    });
    c.set('agent', agent);
    c.set('subject', subject);
    c.set('session', undefined);
    c.set('stillAuthenticated', () =>
      check(false).then(
        () => true,
        (err: unknown) => !(err instanceof DomainError),
      ),
    );
    c.set('origin', { ...origin, userId: subject.id });
    await next();
  };
