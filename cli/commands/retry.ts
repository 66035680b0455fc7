import type { Command } from 'commander';
import { newIdempotencyKey } from '../client.ts';
import type { CliContext } from '../context.ts';
import { followBuild, pendingText } from '../run-build.ts';
import type { Workspace } from '../types.ts';
import { getWorkspace, retryBuild } from '../workspaces.ts';
import { endedText } from './workspace-text.ts';

export function registerRetry(program: Command, context: () => CliContext): void {
  program
    .command('retry <workspace>')
    .description('try the latest build again after it failed or was canceled, with the same version and values')
    .option('--no-wait', 'return as soon as the build is accepted')
    .action(async (reference: string, { wait }: { wait: boolean }) => {
      const cli = context();
      const client = cli.client();
      const workspace = await getWorkspace(client, reference);
      const build = await retryBuild(client, workspace, newIdempotencyKey());
      if (!wait) return cli.output.result(build, () => pendingText(build));
      const ended = await followBuild(cli, client, { build });
      // A workspace that was deleted just now cannot be read any more.
      const now = (await client.find<Workspace>(`/api/v2/workspaces/${workspace.id}`)) ?? workspace;
      cli.output.result(ended, () => endedText(now, ended, cli.output.colors));
    });
}
