import { agentsOf, failingAgents, plainText } from './agents.ts';
import { statusText } from './format.ts';
import type { Colors } from './output.ts';
import { verbOf } from './run-build.ts';
import type { Workspace } from './types.ts';

/** What somebody who watches a workspace wants to know, under keys that stay the same while it changes. */
function factsOf(workspace: Workspace, colors: Colors): Map<string, string> {
  const { latest_build: build } = workspace;
  const { job } = build;
  const error = job.error === undefined ? '' : `: ${colors.red(job.error)}`;
  const facts = new Map([
    [
      'workspace',
      `${statusText(build.status, colors)} (build ${build.build_number}, ${verbOf(build)} ${job.status})${error}`,
    ],
  ]);
  if (workspace.dormant_at !== null) facts.set('dormant', `since ${workspace.dormant_at}`);
  if (build.transition === 'start')
    for (const agent of agentsOf(build)) {
      facts.set(`agent ${agent.name}`, `${statusText(agent.status, colors)}, ${agent.lifecycle_state}`);
      for (const app of agent.apps)
        if (app.health !== 'disabled') facts.set(`app ${agent.name}/${app.slug}`, app.health);
      const running = agent.apps.flatMap((app) => app.statuses.slice(0, 1).map((status) => ({ app, status })));
      for (const { app, status } of running)
        facts.set(`task ${agent.name}/${app.slug}`, `${status.state}: ${plainText(status.message)}`);
    }
  facts.set(
    'health',
    workspace.health.healthy ? 'healthy' : `${colors.red('unhealthy')}: ${failingAgents(workspace).join(', ')}`,
  );
  return facts;
}

/** A line per fact that is new or another than before; everything at first. */
export function workspaceChanges(before: Workspace | undefined, after: Workspace, colors: Colors): string[] {
  const known = before === undefined ? undefined : factsOf(before, colors);
  return [...factsOf(after, colors)].flatMap(([key, text]) =>
    known?.get(key) === text ? [] : [`${key === 'workspace' ? after.name : key}: ${text}`],
  );
}
