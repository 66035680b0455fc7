import { z } from '@hono/zod-openapi';
import { quietHoursSettings } from '../../config.ts';
import { setQuietHours } from '../../commands/users.ts';
import { getAppearance, getGitSshKey, setAppearance } from '../../commands/user-settings.ts';
import { getOrganizationByRef, listOrganizations } from '../../db/queries/organizations.ts';
import { getUserByRef } from '../../db/queries/users.ts';
import type { UserRow } from '../../db/queries/users.ts';
import { authorize, userObject } from '../../domain/authorization.ts';
import { notFound } from '../../domain/errors.ts';
import {
  type QuietHoursSettings,
  effectiveQuietHours,
  nextQuietHours,
  quietHoursText,
  quietHoursTime,
} from '../../domain/quiet-hours.ts';
import { callerOf } from '../context.ts';
import type { App, AppDeps } from '../context.ts';
import { defineRoute } from '../route.ts';
import { json, jsonBody, organizationRef, timestamp, toWireTime, userRef, uuid } from '../schemas.ts';
import { Organization, toOrganization } from '../views/organization.ts';

const Appearance = z
  .object({ theme_preference: z.string(), terminal_font: z.string() })
  .openapi('UserAppearanceSettings');
const QuietHours = z
  .object({
    raw_schedule: z.string(),
    user_set: z.boolean(),
    user_can_set: z.boolean(),
    time: z.string(),
    timezone: z.string(),
    next: timestamp(),
  })
  .openapi('UserQuietHoursScheduleResponse');
const GitSshKey = z
  .object({ user_id: uuid(), public_key: z.string(), created_at: timestamp(), updated_at: timestamp() })
  .openapi('GitSSHKey');

const tags = ['Users'];
const params = z.object({ user: userRef() });
const readOwn = {
  method: 'get',
  access: { type: 'user', action: 'read_personal' },
  tags,
  request: { params },
} as const;
const writeOwn = { method: 'put', access: { type: 'user', action: 'update_personal' }, tags } as const;

const getAppearanceRoute = defineRoute({
  ...readOwn,
  path: '/users/{user}/appearance',
  summary: 'Theme and terminal font',
  responses: { 200: json(Appearance, 'Settings') },
});
const putAppearance = defineRoute({
  ...writeOwn,
  path: '/users/{user}/appearance',
  summary: 'Set theme and terminal font',
  request: {
    params,
    ...jsonBody(z.object({ theme_preference: z.string(), terminal_font: z.string().default('') })),
  },
  responses: { 200: json(Appearance, 'Settings') },
});
const getQuietHours = defineRoute({
  ...readOwn,
  path: '/users/{user}/quiet-hours',
  summary: 'Time of day at which required stops may happen',
  responses: { 200: json(QuietHours, 'Schedule') },
});
const putQuietHours = defineRoute({
  ...writeOwn,
  path: '/users/{user}/quiet-hours',
  auditFailure: { resourceType: 'user', action: 'write', param: 'user' },
  summary: 'Set the quiet hours, `CRON_TZ=<zone> <min> <hour> * * *`',
  request: { params, ...jsonBody(z.object({ schedule: z.string().max(256) })) },
  responses: { 200: json(QuietHours, 'Schedule') },
});
const getKey = defineRoute({
  ...readOwn,
  path: '/users/{user}/gitsshkey',
  summary: 'Public half of the git key',
  responses: { 200: json(GitSshKey, 'Key') },
});
const putKey = defineRoute({
  ...writeOwn,
  path: '/users/{user}/gitsshkey',
  auditFailure: { resourceType: 'git_ssh_key', action: 'write', param: 'user' },
  summary: 'Make a new git key',
  request: { params },
  responses: { 200: json(GitSshKey, 'Key') },
});
const loginType = defineRoute({
  ...readOwn,
  path: '/users/{user}/login-type',
  summary: 'How the user signs in',
  responses: { 200: json(z.object({ login_type: z.string() }).openapi('UserLoginType'), 'Login type') },
});
const organizations = defineRoute({
  ...readOwn,
  path: '/users/{user}/organizations',
  summary: 'Organizations of a user',
  responses: { 200: json(z.array(Organization), 'Organizations') },
});
const organizationByName = defineRoute({
  ...readOwn,
  path: '/users/{user}/organizations/{organization}',
  summary: 'One organization of a user',
  request: { params: params.extend({ organization: organizationRef() }) },
  responses: { 200: json(Organization, 'Organization') },
});

function toQuietHours(user: UserRow, settings: QuietHoursSettings, now: Date): z.input<typeof QuietHours> {
  const hours = effectiveQuietHours({ ...settings, userSchedule: user.quietHoursSchedule });
  return {
    raw_schedule: quietHoursText(hours),
    // What somebody has set before counts no longer where nobody may set any.
    user_set: settings.allowCustom && user.quietHoursSchedule !== '',
    user_can_set: settings.allowCustom,
    time: quietHoursTime(hours),
    timezone: hours.timezone,
    next: toWireTime(nextQuietHours(hours, now)),
  };
}

/** What a person sets for himself. Source: spec/06 §3. */
export function registerUserSettingRoutes(app: App, deps: AppDeps): void {
  const { db } = deps;
  const quietHours = quietHoursSettings(deps.config);
  app.openapi(getAppearanceRoute, async (c) => {
    const user = await getUserByRef(db, c.var.subject, c.req.valid('param').user);
    const { themePreference, terminalFont } = await getAppearance(deps, callerOf(c), user);
    return c.json({ theme_preference: themePreference, terminal_font: terminalFont }, 200);
  });
  app.openapi(putAppearance, async (c) => {
    const user = await getUserByRef(db, c.var.subject, c.req.valid('param').user);
    const body = c.req.valid('json');
    await setAppearance(deps, callerOf(c), {
      userId: user.id,
      themePreference: body.theme_preference,
      terminalFont: body.terminal_font,
    });
    return c.json(body, 200);
  });
  app.openapi(getQuietHours, async (c) => {
    const user = await getUserByRef(db, c.var.subject, c.req.valid('param').user);
    authorize(c.var.subject, 'read_personal', userObject(user.id));
    return c.json(toQuietHours(user, quietHours, deps.now()), 200);
  });
  app.openapi(putQuietHours, async (c) => {
    const user = await getUserByRef(db, c.var.subject, c.req.valid('param').user);
    const { schedule } = c.req.valid('json');
    const changed = await setQuietHours(deps, callerOf(c), { userId: user.id, schedule });
    return c.json(toQuietHours(changed, quietHours, deps.now()), 200);
  });
  for (const [route, renew] of [
    [getKey, false],
    [putKey, true],
  ] as const)
    app.openapi(route, async (c) => {
      const user = await getUserByRef(db, c.var.subject, c.req.valid('param').user);
      const key = await getGitSshKey(deps, callerOf(c), { userId: user.id, renew });
      return c.json(
        {
          user_id: user.id,
          public_key: key.publicKey,
          created_at: toWireTime(key.createdAt),
          updated_at: toWireTime(key.updatedAt),
        },
        200,
      );
    });
  app.openapi(loginType, async (c) => {
    const user = await getUserByRef(db, c.var.subject, c.req.valid('param').user);
    authorize(c.var.subject, 'read_personal', userObject(user.id));
    return c.json({ login_type: user.loginType }, 200);
  });
  app.openapi(organizations, async (c) => {
    const user = await getUserByRef(db, c.var.subject, c.req.valid('param').user);
    return c.json((await listOrganizations(db, c.var.subject, { memberId: user.id })).map(toOrganization), 200);
  });
  app.openapi(organizationByName, async (c) => {
    const user = await getUserByRef(db, c.var.subject, c.req.valid('param').user);
    const organization = await getOrganizationByRef(db, c.var.subject, c.req.valid('param').organization);
    if (!user.organizationIds.includes(organization.id)) throw notFound();
    return c.json(toOrganization(organization), 200);
  });
}
