import type { Command } from 'commander';
import { agentsOf, readAgentMetadata } from '../agents.ts';
import type { CliContext } from '../context.ts';
import type { ParameterValue } from '../types.ts';
import { getWorkspace } from '../workspaces.ts';
import { workspaceText } from './workspace-text.ts';

export function registerShow(program: Command, context: () => CliContext): void {
  program
    .command('show <workspace>')
    .description('resources, agents, apps, scripts, metadata and parameters of a workspace')
    .option('--deleted', 'also when it is deleted')
    .action(async (reference: string, { deleted }: { deleted?: boolean }) => {
      const cli = context();
      const client = cli.client();
      const workspace = await getWorkspace(client, reference, { includeDeleted: deleted === true });
      const { latest_build: build } = workspace;
      const [parameters, metadata] = await Promise.all([
        client.get<ParameterValue[]>(`/api/v2/workspacebuilds/${build.id}/parameters`),
        readAgentMetadata(client, build.transition === 'start' ? agentsOf(build) : []),
      ]);
      cli.output.result({ ...workspace, parameters, agent_metadata: metadata }, () =>
        workspaceText({ workspace, parameters, metadata, now: cli.now() }, cli.output.colors),
      );
    });
}
