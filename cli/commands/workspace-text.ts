import { ago, duration, facts, statusText, table } from '../format.ts';
import { orphansText } from '../orphans.ts';
import type { Colors } from '../output.ts';
import { verbOf } from '../run-build.ts';
import type { ParameterValue, Workspace, WorkspaceAgent, WorkspaceBuild, WorkspaceResource } from '../types.ts';

/** A workspace that has just started: where to go now. */
export function runningText(workspace: Workspace, colors: Colors): string {
  const { name, latest_build: build } = workspace;
  const resources = build.resources.filter((resource) => !resource.hide);
  return [
    `${colors.bold(name)} is ${statusText(build.status, colors)}.`,
    ...(resources.length === 0 ? [] : ['', resourcesText(resources, colors)]),
    '',
    `Next: berth show ${name}, berth stop ${name}`,
  ].join('\n');
}

/** What has become of a workspace by a build that succeeded. */
export function endedText(workspace: Workspace, build: WorkspaceBuild, colors: Colors): string {
  const { name } = workspace;
  if (build.refresh_only === true)
    return `The state of ${name} is as the world is (build ${build.build_number}). Next: berth show ${name}, berth start ${name}`;
  switch (build.transition) {
    case 'start':
      return runningText(workspace, colors);
    case 'stop':
      return `${name} is stopped. Next: berth start ${name}`;
    case 'delete':
      return `${name} is deleted.`;
  }
}

/** Everything that one looks for in a workspace. */
export function workspaceText(
  { workspace, parameters, now }: { workspace: Workspace; parameters: readonly ParameterValue[]; now: Date },
  colors: Colors,
): string {
  const { latest_build: build } = workspace;
  const head = facts(
    [
      ['workspace', `${workspace.owner_name}/${workspace.name}${workspace.favorite ? ' ★' : ''}`],
      ['status', statusText(build.status, colors)],
      ['health', workspace.health.healthy ? null : colors.red('unhealthy')],
      ['template', `${workspace.template_name}, version ${build.template_version_name}`],
      ['update', workspace.outdated ? `berth start ${workspace.name} --update` : null],
      ['build', `${build.build_number}, ${verbOf(build)} by ${build.initiator_name}, ${ago(build.created_at, now)}`],
      ['error', build.job.error === undefined ? null : colors.red(build.job.error)],
      ['starts at', workspace.autostart_schedule],
      ['stops after', workspace.ttl_ms === undefined ? null : duration(workspace.ttl_ms)],
      ['stops at', build.deadline],
      ['dormant since', workspace.dormant_at],
      ['daily cost', build.daily_cost === 0 ? null : String(build.daily_cost)],
      ['id', workspace.id],
    ],
    colors,
  );
  const sections = [head];
  if (build.resources.length > 0) sections.push(resourcesText(build.resources, colors));
  if (parameters.length > 0)
    sections.push(
      table(
        ['PARAMETER', 'VALUE'],
        parameters.map(({ name, value }) => [name, value]),
        colors,
      ),
    );
  if (build.possible_orphans.length > 0) sections.push(orphansText(build, colors));
  return sections.join('\n\n');
}

/** Resources as a tree: metadata, agents, and what runs on them. */
export function resourcesText(resources: readonly WorkspaceResource[], colors: Colors): string {
  const lines: string[] = [];
  for (const resource of resources) {
    lines.push(`${colors.bold(`${resource.type}.${resource.name}`)}${resource.hide ? colors.dim(' (hidden)') : ''}`);
    for (const { key, value, sensitive } of resource.metadata ?? [])
      lines.push(`  ${colors.dim(`${key}:`)} ${sensitive ? '(hidden)' : value}`);
    for (const agent of resource.agents ?? []) lines.push(...agentLines(agent, colors));
  }
  return lines.join('\n');
}

function agentLines(agent: WorkspaceAgent, colors: Colors): string[] {
  const platform = `${agent.operating_system}/${agent.architecture}`;
  const lines = [
    `  agent ${colors.bold(agent.name)}: ${statusText(agent.status, colors)}, ${agent.lifecycle_state}, ${platform}`,
  ];
  for (const app of agent.apps.filter((each) => !each.hidden)) {
    const health = app.health === 'disabled' ? '' : ` (${app.health})`;
    lines.push(`    app ${app.slug}${health}: ${app.url ?? app.command ?? ''}`);
  }
  for (const script of agent.scripts) {
    const when = [script.run_on_start ? 'start' : '', script.run_on_stop ? 'stop' : '', script.cron].filter(Boolean);
    lines.push(`    script ${script.display_name} (${when.join(', ')})`);
  }
  return lines;
}
