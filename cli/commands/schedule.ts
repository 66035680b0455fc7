import type { Command } from 'commander';
import type { Client } from '../client.ts';
import type { CliContext } from '../context.ts';
import { isStatus, usageError, withNext } from '../errors.ts';
import { duration, facts, table } from '../format.ts';
import type { Colors } from '../output.ts';
import { parseDuration, parseSchedule } from '../parse-values.ts';
import { scheduleText, whenText } from '../times.ts';
import type { Workspace } from '../types.ts';
import { getWorkspace } from '../workspaces.ts';

/** When a workspace starts, stops and goes by itself: what --json prints. */
interface Schedule {
  readonly id: string;
  readonly owner_name: string;
  readonly name: string;
  readonly status: string;
  readonly autostart_schedule: string | null;
  readonly next_start_at: string | null;
  readonly ttl_ms: number | null;
  readonly deadline: string | null;
  readonly max_deadline: string | null;
  readonly dormant_at: string | null;
  readonly deleting_at: string | null;
}

const scheduleOf = (workspace: Workspace): Schedule => ({
  id: workspace.id,
  owner_name: workspace.owner_name,
  name: workspace.name,
  status: workspace.latest_build.status,
  autostart_schedule: workspace.autostart_schedule ?? null,
  next_start_at: workspace.next_start_at,
  ttl_ms: workspace.ttl_ms ?? null,
  deadline: workspace.latest_build.deadline,
  max_deadline: workspace.latest_build.max_deadline,
  dormant_at: workspace.dormant_at,
  deleting_at: workspace.deleting_at,
});

const manual = 'manual';

export function registerSchedule(program: Command, context: () => CliContext): void {
  const schedule = program.command('schedule').description('when workspaces start and stop by themselves');
  schedule
    .command('show [workspace]')
    .description('of one workspace, or of all of yours')
    .option('-a, --all', 'of everybody, as far as you may see them')
    .action(async (reference: string | undefined, { all }: { all?: boolean }) => {
      if (reference !== undefined && all === true) throw usageError('name a workspace, or give --all, not both');
      const cli = context();
      const client = cli.client();
      const now = cli.now();
      if (reference !== undefined) {
        const found = scheduleOf(await getWorkspace(client, reference));
        return cli.output.result(found, () => scheduleFacts(found, now, cli.output.colors));
      }
      const q = all === true ? '' : 'owner:me';
      const query = new URLSearchParams({ q, limit: '0' });
      const page = await client.get<{ workspaces: Workspace[]; count: number }>(
        `/api/v2/workspaces?${query.toString()}`,
      );
      const found = { schedules: page.workspaces.map(scheduleOf), count: page.count };
      cli.output.result(found, () => schedulesText(found, { all: all === true, now, colors: cli.output.colors }));
    });
  schedule
    .command('start <workspace> <time> [days] [zone]')
    .description('start it at this time, e.g. 9:30AM Mon-Fri Europe/Berlin; "manual": not by itself')
    .action(async (reference: string, time: string, days: string | undefined, zone: string | undefined) => {
      const words = [time, days, zone].filter((word) => word !== undefined);
      if (time === manual && words.length > 1) throw usageError('"manual" takes neither days nor a time zone');
      const value = time === manual ? null : parseSchedule(words.join(' '));
      await change(context(), reference, {
        setting: 'autostart',
        body: { schedule: value },
        render: (set, now) =>
          set.autostart_schedule === null ? `${set.name} does not start by itself.` : startText(set, now),
      });
    });
  schedule
    .command('stop <workspace> <duration>')
    .description('stop it this long after each start, e.g. 8h; "manual": not by itself')
    .action(async (reference: string, text: string) => {
      const ttlMs = text === manual ? null : parseDuration(text);
      await change(context(), reference, {
        setting: 'ttl',
        body: { ttl_ms: ttlMs },
        render: stopText,
      });
    });
  schedule
    .command('extend <workspace> <duration>')
    .description('stop the running workspace this long from now, instead of when it would stop')
    .action(async (reference: string, text: string) => {
      const cli = context();
      const deadline = new Date(cli.now().getTime() + parseDuration(text)).toISOString();
      await change(cli, reference, {
        setting: 'extend',
        body: { deadline },
        render: (set, now) => `${set.name} stops ${whenText(set.deadline ?? deadline, now)}.`,
      });
    });
}

/** Puts a setting, and says how the workspace stands now. */
async function change(
  cli: CliContext,
  reference: string,
  step: {
    readonly setting: 'autostart' | 'ttl' | 'extend';
    readonly body: object;
    readonly render: (set: Schedule, now: Date) => string;
  },
): Promise<void> {
  const client = cli.client();
  const workspace = await getWorkspace(client, reference);
  await put(client, workspace, step);
  const set = scheduleOf(await client.get<Workspace>(`/api/v2/workspaces/${workspace.id}`));
  cli.output.result(set, () => step.render(set, cli.now()));
}

async function put(
  client: Client,
  workspace: Workspace,
  { setting, body }: { setting: string; body: object },
): Promise<void> {
  try {
    await client.request(`/api/v2/workspaces/${workspace.id}/${setting}`, { method: 'PUT', json: body });
  } catch (err) {
    throw isStatus(err, 400, 409) ? withNext(err, `berth schedule show ${workspace.name} tells how it stands`) : err;
  }
}

function startText(set: Schedule, now: Date): string {
  const starts = `${set.name} starts at ${scheduleText(set.autostart_schedule ?? '')}`;
  if (set.next_start_at !== null) return `${starts}, next ${whenText(set.next_start_at, now)}.`;
  return set.dormant_at === null
    ? `${starts}, but its template allows none of these days.`
    : `${starts}, but not while it is dormant.`;
}

function stopText(set: Schedule, now: Date): string {
  const after =
    set.ttl_ms === null
      ? `${set.name} does not stop by itself`
      : `${set.name} stops ${duration(set.ttl_ms)} after each start`;
  // A new duration counts from the next start on: who changes it today expects to be told.
  return set.deadline === null ? `${after}.` : `${after}. Now it runs, and stops ${whenText(set.deadline, now)}.`;
}

function scheduleFacts(set: Schedule, now: Date, colors: Colors): string {
  const when = (instant: string | null) => (instant === null ? null : whenText(instant, now));
  return facts(
    [
      ['workspace', `${set.owner_name}/${set.name}`],
      ['status', set.status],
      ['starts at', set.autostart_schedule === null ? manual : scheduleText(set.autostart_schedule)],
      ['starts next', when(set.next_start_at)],
      ['stops after', set.ttl_ms === null ? manual : duration(set.ttl_ms)],
      ['stops at', when(set.deadline)],
      ['at the latest', when(set.max_deadline)],
      ['dormant since', when(set.dormant_at)],
      ['deleted at', when(set.deleting_at)],
    ],
    colors,
  );
}

function schedulesText(
  { schedules, count }: { schedules: readonly Schedule[]; count: number },
  { all, now, colors }: { all: boolean; now: Date; colors: Colors },
): string {
  if (count === 0) return 'No workspaces. Make one: berth create <name> --template <template>';
  const rows = schedules.map((set) => [
    `${all ? `${set.owner_name}/` : ''}${set.name}`,
    set.autostart_schedule === null ? manual : scheduleText(set.autostart_schedule),
    set.dormant_at !== null ? 'dormant' : set.next_start_at === null ? '' : whenText(set.next_start_at, now),
    set.ttl_ms === null ? manual : duration(set.ttl_ms),
    set.deadline === null ? '' : whenText(set.deadline, now),
  ]);
  const text = table(['WORKSPACE', 'STARTS AT', 'STARTS NEXT', 'STOPS AFTER', 'STOPS AT'], rows, colors);
  return schedules.length < count ? `${text}\n${schedules.length} of ${count}; name one to see it` : text;
}
