import { z } from '@hono/zod-openapi';
import { findTemplate } from '../../db/queries/templates.ts';
import { authorize, templateObject } from '../../domain/authorization.ts';
import { lastLocalDays } from '../../domain/daily-activity.ts';
import { notFound } from '../../domain/errors.ts';
import type { App, AppDeps } from '../context.ts';
import { createDailyUsers } from '../daily-activity.ts';
import { defineRoute } from '../route.ts';
import { json, queryInteger, uuid } from '../schemas.ts';

const DailyActivity = z
  .object({
    entries: z.array(z.object({ date: z.string().openapi({ format: 'date' }), amount: z.number().int() })),
    tz_hour_offset: z.number().int(),
  })
  .openapi('DAUsResponse', { description: 'Users of each of the last 60 days, oldest first, today last' });
export type DailyActivityBody = z.infer<typeof DailyActivity>;

/** Hours that clocks are ahead of UTC. */
const offset = () => queryInteger(-12, 14);
const read = { method: 'get', access: { type: 'template', action: 'view_insights' }, tags: ['Insights'] } as const;

const ofTemplate = defineRoute({
  ...read,
  path: '/templates/{template}/daus',
  summary: 'Daily active users of a template',
  request: { params: z.object({ template: uuid() }), query: z.object({ tz_offset: offset().default(0) }) },
  responses: { 200: json(DailyActivity, 'Days') },
});
const ofDeployment = defineRoute({
  ...read,
  path: '/insights/daus',
  summary: 'Daily active users of all templates',
  request: { query: z.object({ tz_offset: offset() }) },
  responses: { 200: json(DailyActivity, 'Days') },
});

/** Who may see how templates are used. Source: spec/06 §6, §12. */
export function registerInsightRoutes(app: App, deps: AppDeps): void {
  const { db } = deps;
  const dailyUsers = createDailyUsers(deps);
  const dailyActivity = async (offsetHours: number, templateId?: string): Promise<DailyActivityBody> => {
    const days = lastLocalDays(deps.now(), offsetHours);
    const found = await dailyUsers(days, templateId);
    const users = new Map(found.map((row) => [row.day, row.users]));
    return {
      entries: days.dates.map((date, day) => ({ date, amount: users.get(day) ?? 0 })),
      tz_hour_offset: offsetHours,
    };
  };

  app.openapi(ofTemplate, async (c) => {
    const template = await findTemplate(db, c.req.valid('param').template);
    if (template === undefined || template.deleted) throw notFound();
    authorize(c.var.subject, 'view_insights', templateObject(template));
    return c.json(await dailyActivity(c.req.valid('query').tz_offset, template.id), 200);
  });
  app.openapi(ofDeployment, async (c) => {
    authorize(c.var.subject, 'view_insights', { type: 'template' });
    return c.json(await dailyActivity(c.req.valid('query').tz_offset), 200);
  });
}
