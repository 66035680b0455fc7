import type { Command } from 'commander';
import type { CliContext } from '../context.ts';
import type { ParameterValue } from '../types.ts';
import { getWorkspace } from '../workspaces.ts';
import { workspaceText } from './workspace-text.ts';

export function registerShow(program: Command, context: () => CliContext): void {
  program
    .command('show <workspace>')
    .description('resources, agents, apps, metadata and parameters of a workspace')
    .option('--deleted', 'also when it is deleted')
    .action(async (reference: string, { deleted }: { deleted?: boolean }) => {
      const cli = context();
      const client = cli.client();
      const workspace = await getWorkspace(client, reference, { includeDeleted: deleted === true });
      const path = `/api/v2/workspacebuilds/${workspace.latest_build.id}/parameters`;
      const parameters = await client.get<ParameterValue[]>(path);
      cli.output.result({ ...workspace, parameters }, () =>
        workspaceText({ workspace, parameters, now: cli.now() }, cli.output.colors),
      );
    });
}
