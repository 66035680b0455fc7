import type { Command } from 'commander';
import type { CliContext } from '../context.ts';
import { ago, duration, statusText, table } from '../format.ts';
import { parseWhole } from '../parse-values.ts';
import type { ProvisionerJob } from '../types.ts';
import { orphanAdvice } from '../orphans.ts';
import { verbOf } from '../run-build.ts';
import { getWorkspace, listBuilds } from '../workspaces.ts';

const took = ({ started_at: from, completed_at: to }: ProvisionerJob): string =>
  from === undefined || to === undefined ? '' : duration(Date.parse(to) - Date.parse(from));

export function registerBuilds(program: Command, context: () => CliContext): void {
  program
    .command('builds <workspace>')
    .description('builds of a workspace, newest first')
    .option('--limit <number>', 'at most so many', parseWhole, 25)
    .action(async (reference: string, { limit }: { limit: number }) => {
      const cli = context();
      const client = cli.client();
      const workspace = await getWorkspace(client, reference, { includeDeleted: true });
      const builds = await listBuilds(client, workspace.id, limit);
      const { colors } = cli.output;
      const rows = builds.map((build) => [
        String(build.build_number),
        build.refresh_only === true ? `${build.transition} (${verbOf(build)})` : build.transition,
        statusText(build.job.status, colors),
        build.reason,
        build.initiator_name,
        build.template_version_name,
        took(build.job),
        ago(build.created_at, cli.now()),
        build.possible_orphans.length === 0 ? '' : colors.yellow(`${build.possible_orphans.length} possible`),
        build.job.error ?? '',
      ]);
      const header = [
        'BUILD',
        'TRANSITION',
        'STATUS',
        'REASON',
        'BY',
        'VERSION',
        'TOOK',
        'CREATED',
        'ORPHANS',
        'ERROR',
      ];
      cli.output.result(builds, () => {
        const text = table(header, rows, colors);
        const orphans = builds.flatMap((build) =>
          build.possible_orphans.map((address) => `  build ${build.build_number}: ${address}`),
        );
        if (orphans.length === 0) return text;
        return [text, '', 'May exist outside of the state:', ...orphans, orphanAdvice(workspace.name)].join('\n');
      });
    });
}
