import type { Command } from 'commander';
import { newIdempotencyKey } from '../client.ts';
import type { CliContext } from '../context.ts';
import { followBuild, pendingText } from '../run-build.ts';
import { getWorkspace, refreshWorkspace } from '../workspaces.ts';
import { endedText } from './workspace-text.ts';

export function registerRefresh(program: Command, context: () => CliContext): void {
  program
    .command('refresh <workspace>')
    .description('read the world into the state of a workspace and change nothing')
    .option('--no-wait', 'return as soon as the build is accepted')
    .action(async (reference: string, { wait }: { wait: boolean }) => {
      const cli = context();
      const client = cli.client();
      const workspace = await getWorkspace(client, reference);
      const build = await refreshWorkspace(client, workspace, newIdempotencyKey());
      if (!wait) return cli.output.result(build, () => pendingText(build));
      const ended = await followBuild(cli, client, { build });
      cli.output.result(ended, () => endedText(workspace, ended, cli.output.colors));
    });
}
