import type { Command } from 'commander';
import type { CliContext } from '../context.ts';
import { ago, statusText, table } from '../format.ts';
import { parseWhole } from '../parse-values.ts';
import { whenText } from '../times.ts';
import type { Workspace } from '../types.ts';

interface ListOptions {
  readonly query: string;
  readonly all?: boolean;
  readonly limit: number;
  readonly offset: number;
}
interface Page {
  readonly workspaces: readonly Workspace[];
  readonly count: number;
}

export function registerList(program: Command, context: () => CliContext): void {
  program
    .command('list')
    .alias('ls')
    .description('your workspaces')
    .option('-q, --query <query>', 'search terms, e.g. status:running template:docker', '')
    .option('-a, --all', 'of everybody, as far as you may see them')
    .option('--limit <number>', 'at most so many (0: as many as the server gives)', parseWhole, 100)
    .option('--offset <number>', 'leave out the first ones', parseWhole, 0)
    .action(async (options: ListOptions) => {
      const cli = context();
      const q = [options.all === true || /\bowner:/.test(options.query) ? '' : 'owner:me', options.query]
        .filter((term) => term !== '')
        .join(' ');
      const query = new URLSearchParams({ q, limit: String(options.limit), offset: String(options.offset) });
      const page = await cli.client().get<Page>(`/api/v2/workspaces?${query.toString()}`);
      cli.output.result(page, () => pageText(cli, page, options));
    });
}

function pageText({ output, now }: CliContext, { workspaces, count }: Page, { all, query }: ListOptions): string {
  const { colors } = output;
  if (count === 0)
    return query === ''
      ? 'No workspaces. Make one: berth create <name> --template <template>'
      : 'No workspace matches.';
  const when = (instant: string | null) => (instant === null ? '' : whenText(instant, now()));
  const rows = workspaces.map((workspace) => [
    `${all === true ? `${workspace.owner_name}/` : ''}${workspace.name}${workspace.favorite ? ' ★' : ''}`,
    workspace.template_display_name || workspace.template_name,
    `${statusText(workspace.latest_build.status, colors)}${workspace.dormant_at === null ? '' : colors.yellow(', dormant')}`,
    workspace.health.healthy ? '' : colors.red('unhealthy'),
    ago(workspace.latest_build.created_at, now()),
    workspace.outdated ? 'outdated' : '',
    when(workspace.next_start_at),
    when(workspace.latest_build.deadline),
  ]);
  const text = table(
    ['WORKSPACE', 'TEMPLATE', 'STATUS', 'HEALTH', 'LAST BUILD', 'VERSION', 'STARTS AT', 'STOPS AT'],
    rows,
    colors,
  );
  return workspaces.length < count ? `${text}\n${workspaces.length} of ${count}; more with --limit and --offset` : text;
}
