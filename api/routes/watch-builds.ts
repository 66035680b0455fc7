import { z } from '@hono/zod-openapi';
import type { BuildUpdate } from '../../db/queries/build-updates.ts';
import { authorize } from '../../domain/authorization.ts';
import { enabledExperiments, workspaceBuildUpdates } from '../../domain/entitlements.ts';
import { DomainError } from '../../domain/errors.ts';
import { createBuildUpdates } from '../build-updates.ts';
import type { App, AppDeps } from '../context.ts';
import { defineRoute } from '../route.ts';
import { json, queryInteger } from '../schemas.ts';
import { requireWebSocket, streamWebSocket } from '../streams.ts';

const WorkspaceBuildUpdate = z
  .object({
    workspace_id: z.string(),
    build_id: z.string(),
    transition: z.enum(['start', 'stop', 'delete']),
    job_status: z.enum(['pending', 'running', 'succeeded', 'canceling', 'canceled', 'failed', 'unknown']),
    build_number: z.number().int(),
    update_sequence: z.number().int(),
  })
  .openapi('WorkspaceBuildUpdate');
export type WorkspaceBuildUpdateBody = z.infer<typeof WorkspaceBuildUpdate>;

const watch = (name: string) =>
  defineRoute({
    method: 'get',
    root: true,
    path: `/api/experimental/${name}`,
    access: { type: 'workspace', action: 'read' },
    stream: true,
    tags: ['Workspaces'],
    summary: 'Job status changes of all builds (WebSocket, experiment workspace-build-updates)',
    request: {
      query: z.object({
        after: queryInteger(0, 999_999_999_999_999).optional().openapi({
          description:
            'Also what changed behind this `update_sequence`. Sequences may appear a little out of order: who wants every change asks from some before the last one and drops what is known.',
        }),
      }),
    },
    responses: {
      200: json(WorkspaceBuildUpdate, 'One object per message; changes that follow within milliseconds may be one'),
    },
  });

const toUpdate = (update: BuildUpdate): WorkspaceBuildUpdateBody => ({
  workspace_id: update.workspaceId,
  build_id: update.buildId,
  transition: update.transition,
  job_status: update.jobStatus,
  build_number: update.buildNumber,
  update_sequence: update.updateSequence,
});

/** Source: spec/06 §8.2. */
export function registerWatchBuildRoutes(app: App, deps: AppDeps): void {
  const isOn = enabledExperiments(deps.config.CODER_EXPERIMENTS).includes(workspaceBuildUpdates);
  const updates = createBuildUpdates(deps);
  for (const name of ['watch-all-workspacebuilds', 'watch-all-workspaces'])
    app.openapi(watch(name), async (c) => {
      if (!isOn)
        throw new DomainError('NOT_FOUND', `The experiment ${workspaceBuildUpdates} is off`, {
          detail: `Switch it on with CODER_EXPERIMENTS=${workspaceBuildUpdates}.`,
        });
      // Once per connection: whoever may read all workspaces is told of all builds (spec/07 §4.2).
      authorize(c.var.subject, 'read', { type: 'workspace' });
      requireWebSocket(c);
      const { after } = c.req.valid('query');
      const source = async function* (signal: AbortSignal) {
        for await (const update of updates.follow({ after, signal })) yield toUpdate(update);
      };
      return (await streamWebSocket(c, source, { frames: 'logs' })) as never;
    });
}
