import { z } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { deleteCookie, setCookie } from 'hono/cookie';
import { createFirstUser } from '../../commands/create-first-user.ts';
import { logIn, logOut } from '../../commands/log-in.ts';
import { hasHumanUser } from '../../db/queries/users.ts';
import { notFound } from '../../domain/errors.ts';
import { passwordProblem } from '../../domain/passwords.ts';
import { callerOf } from '../context.ts';
import type { ApiEnv, App, AppDeps } from '../context.ts';
import { csrfCookie, csrfTokenOf, sessionCookie } from '../middleware/csrf.ts';
import { defineRoute } from '../route.ts';
import { MessageResponse, json, jsonBody, uuid } from '../schemas.ts';

const FirstUser = z
  .object({
    email: z.string(),
    username: z.string(),
    name: z.string().default(''),
    password: z.string(),
    trial: z.boolean().optional(),
  })
  .openapi('CreateFirstUserRequest');
const FirstUserCreated = z.object({ user_id: uuid(), organization_id: uuid() }).openapi('CreateFirstUserResponse');
const Login = z
  .object({ email: z.string().max(1024), password: z.string().max(1024) })
  .openapi('LoginWithPasswordRequest');
const LoggedIn = z.object({ session_token: z.string() }).openapi('LoginWithPasswordResponse');
const AuthMethods = z
  .object({
    password: z.object({ enabled: z.boolean() }),
    github: z.object({ enabled: z.boolean(), default_provider_configured: z.boolean() }),
    oidc: z.object({ enabled: z.boolean(), signInText: z.string(), iconUrl: z.string() }),
  })
  .openapi('AuthMethods');
const PasswordCheck = z.object({ valid: z.boolean(), details: z.string() }).openapi('ValidateUserPasswordResponse');

const tags = ['Users'];
const hasFirstUser = defineRoute({
  method: 'get',
  path: '/users/first',
  access: 'public',
  tags,
  summary: 'Whether somebody exists: 200, else 404',
  responses: { 200: json(MessageResponse, 'The first user exists') },
});
const postFirstUser = defineRoute({
  method: 'post',
  path: '/users/first',
  access: 'public',
  rateLimit: 'login',
  tags,
  summary: 'Create the owner of a fresh deployment',
  request: jsonBody(FirstUser),
  responses: {
    201: json(FirstUserCreated, 'Created'),
    409: json(MessageResponse, 'Somebody exists already'),
  },
});
const login = defineRoute({
  method: 'post',
  path: '/users/login',
  access: 'public',
  rateLimit: 'login',
  tags,
  summary: 'Sign in with a password',
  request: jsonBody(Login),
  responses: {
    201: json(LoggedIn, 'Token, also set as a cookie'),
    401: json(MessageResponse, 'Wrong address or password'),
  },
});
const logout = defineRoute({
  method: 'post',
  path: '/users/logout',
  access: { type: 'api_key', action: 'delete' },
  tags,
  summary: 'End this session',
  responses: { 200: json(MessageResponse, 'Signed out') },
});
const authMethods = defineRoute({
  method: 'get',
  path: '/users/authmethods',
  access: 'public',
  tags,
  summary: 'Ways to sign in',
  responses: { 200: json(AuthMethods, 'Password only') },
});
const validatePassword = defineRoute({
  method: 'post',
  path: '/users/validate-password',
  access: 'public',
  rateLimit: 'login',
  tags,
  summary: 'Whether a password is good enough',
  request: jsonBody(z.object({ password: z.string().max(1024) })),
  responses: { 200: json(PasswordCheck, 'Verdict') },
});

function setSessionCookies(c: Context<ApiEnv>, token: string, lifetimeMs: number): void {
  const { config } = c.var.deps;
  const secure = config.CODER_SECURE_AUTH_COOKIE || config.CODER_ACCESS_URL.startsWith('https:');
  const shared = { path: '/', sameSite: 'Lax', secure, maxAge: Math.floor(lifetimeMs / 1000) } as const;
  setCookie(c, sessionCookie, token, { ...shared, httpOnly: true });
  // Read by our own pages and sent back as X-CSRF-Token.
  setCookie(c, csrfCookie, csrfTokenOf(token), shared);
}

/** First user, sign-in and sign-out. Source: spec/06 §3, spec/07 §3. */
export function registerLoginRoutes(app: App, deps: AppDeps): void {
  app.openapi(hasFirstUser, async (c) => {
    if (!(await hasHumanUser(deps.db))) throw notFound();
    return c.json({ message: 'The first user has been created' }, 200);
  });
  app.openapi(postFirstUser, async (c) => {
    const { email, username, name, password } = c.req.valid('json');
    const created = await createFirstUser(deps, { email, username, name, password }, c.var.origin);
    return c.json({ user_id: created.userId, organization_id: created.organizationId }, 201);
  });
  app.openapi(login, async (c) => {
    const { sessionToken, lifetimeMs } = await logIn(deps, c.req.valid('json'), c.var.origin);
    setSessionCookies(c, sessionToken, lifetimeMs);
    return c.json({ session_token: sessionToken }, 201);
  });
  app.openapi(logout, async (c) => {
    if (c.var.session !== undefined) await logOut(deps, callerOf(c), c.var.session.keyId);
    deleteCookie(c, sessionCookie, { path: '/' });
    deleteCookie(c, csrfCookie, { path: '/' });
    return c.json({ message: 'You are signed out' }, 200);
  });
  app.openapi(authMethods, (c) =>
    c.json(
      {
        password: { enabled: true },
        github: { enabled: false, default_provider_configured: false },
        oidc: { enabled: false, signInText: '', iconUrl: '' },
      },
      200,
    ),
  );
  app.openapi(validatePassword, (c) => {
    const problem = passwordProblem(c.req.valid('json').password);
    return c.json({ valid: problem === undefined, details: problem ?? '' }, 200);
  });
}
