import { failingAgents, plainText } from '../agents.ts';
import { ago, duration, facts, statusText, table } from '../format.ts';
import { orphansText } from '../orphans.ts';
import type { Colors } from '../output.ts';
import { scheduleText, whenText } from '../times.ts';
import { verbOf } from '../run-build.ts';
import type {
  AgentMetadata,
  ParameterValue,
  Workspace,
  WorkspaceAgent,
  WorkspaceApp,
  WorkspaceBuild,
  WorkspaceResource,
} from '../types.ts';

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

export interface WorkspaceDetails {
  readonly workspace: Workspace;
  readonly parameters: readonly ParameterValue[];
  /** By agent id; an agent that has not told is missing. */
  readonly metadata?: Readonly<Record<string, readonly AgentMetadata[]>>;
  readonly now: Date;
}

/** Everything that one looks for in a workspace. */
export function workspaceText({ workspace, parameters, metadata = {}, now }: WorkspaceDetails, colors: Colors): string {
  const { latest_build: build } = workspace;
  const when = (instant: string | null) => (instant === null ? null : whenText(instant, now));
  const head = facts(
    [
      ['workspace', `${workspace.owner_name}/${workspace.name}${workspace.favorite ? ' ★' : ''}`],
      ['status', statusText(build.status, colors)],
      [
        'health',
        workspace.health.healthy ? null : `${colors.red('unhealthy')}: ${failingAgents(workspace).join(', ')}`,
      ],
      ['template', `${workspace.template_name}, version ${build.template_version_name}`],
      ['update', workspace.outdated ? `berth start ${workspace.name} --update` : null],
      ['build', `${build.build_number}, ${verbOf(build)} by ${build.initiator_name}, ${ago(build.created_at, now)}`],
      ['error', build.job.error === undefined ? null : colors.red(build.job.error)],
      ['starts at', workspace.autostart_schedule === undefined ? null : scheduleText(workspace.autostart_schedule)],
      ['starts next', when(workspace.next_start_at)],
      ['stops after', workspace.ttl_ms === undefined ? null : duration(workspace.ttl_ms)],
      ['stops at', when(build.deadline)],
      ['at the latest', when(build.max_deadline)],
      ['dormant since', when(workspace.dormant_at)],
      ['deleted at', when(workspace.deleting_at)],
      ['daily cost', build.daily_cost === 0 ? null : String(build.daily_cost)],
      ['id', workspace.id],
    ],
    colors,
  );
  const sections = [head];
  if (build.resources.length > 0) sections.push(resourcesText(build.resources, colors, { metadata, now }));
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

/** Resources as a tree: metadata, agents, and what runs on them; with `details` also how the agents are doing. */
export function resourcesText(
  resources: readonly WorkspaceResource[],
  colors: Colors,
  details?: Pick<WorkspaceDetails, 'metadata' | 'now'>,
): string {
  const lines: string[] = [];
  for (const resource of resources) {
    lines.push(`${colors.bold(`${resource.type}.${resource.name}`)}${resource.hide ? colors.dim(' (hidden)') : ''}`);
    for (const { key, value, sensitive } of resource.metadata ?? [])
      lines.push(`  ${colors.dim(`${key}:`)} ${sensitive ? '(hidden)' : value}`);
    for (const agent of resource.agents ?? []) {
      lines.push(agentLine(agent, colors));
      if (details !== undefined) lines.push(...agentDetails(agent, colors, details));
      for (const app of agent.apps.filter((each) => !each.hidden)) lines.push(...appLines(app, colors));
      for (const script of agent.scripts) lines.push(scriptLine(script, colors));
    }
  }
  return lines.join('\n');
}

const agentLine = (agent: WorkspaceAgent, colors: Colors): string => {
  const kind = agent.parent_id === null ? 'agent' : 'sub-agent';
  const platform = `${agent.operating_system}/${agent.architecture}`;
  return `  ${kind} ${colors.bold(agent.name)}: ${statusText(agent.status, colors)}, ${agent.lifecycle_state}, ${platform}`;
};

function agentDetails(
  agent: WorkspaceAgent,
  colors: Colors,
  { metadata, now }: Pick<WorkspaceDetails, 'metadata' | 'now'>,
): string[] {
  const lines: string[] = [];
  if (agent.health.reason !== undefined) lines.push(`    ${colors.red(agent.health.reason)}`);
  const lastSeen = agent.disconnected_at ?? agent.last_connected_at;
  if (agent.status === 'connected' && agent.first_connected_at !== undefined)
    lines.push(`    ${colors.dim('connected since:')} ${ago(agent.first_connected_at, now)}`);
  else if (agent.status === 'disconnected' && lastSeen !== undefined)
    lines.push(`    ${colors.dim('last seen:')} ${ago(lastSeen, now)}`);
  for (const { description, result } of metadata?.[agent.id] ?? []) {
    const name = plainText(description.display_name || description.key);
    const value = plainText(result.value).trim();
    const error = plainText(result.error).trim();
    const shown = result.collected_at.startsWith('0001-') ? '(not yet)' : value;
    lines.push(`    ${colors.dim(`${name}:`)} ${[shown, error && colors.red(error)].filter(Boolean).join(' ')}`);
  }
  return lines;
}

function appLines(app: WorkspaceApp, colors: Colors): string[] {
  const health = app.health === 'disabled' ? '' : ` (${app.health})`;
  const [status] = app.statuses;
  return [
    `    app ${app.slug}${health}: ${app.url ?? app.command ?? ''}`,
    ...(status === undefined ? [] : [colors.dim(`      ${status.state}: ${plainText(status.message)}`)]),
  ];
}

function scriptLine(script: WorkspaceAgent['scripts'][number], colors: Colors): string {
  const when = [script.run_on_start ? 'start' : '', script.run_on_stop ? 'stop' : '', script.cron].filter(Boolean);
  return `    script ${script.display_name} (${when.join(', ')})${scriptOutcome(script, colors)}`;
}

function scriptOutcome({ status, exit_code: code }: WorkspaceAgent['scripts'][number], colors: Colors): string {
  switch (status) {
    case undefined:
      return '';
    case 'ok':
      return `: ${colors.green('ok')}`;
    case 'exit_failure':
      return `: ${colors.red(`failed with ${code ?? 'an error'}`)}`;
    case 'timed_out':
      return `: ${colors.red('timed out')}`;
    case 'pipes_left_open':
      return `: ${colors.yellow('ended, left a process running')}`;
  }
}
