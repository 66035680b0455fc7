import type { Command } from 'commander';
import { newIdempotencyKey } from '../client.ts';
import type { CliContext } from '../context.ts';
import { followBuild, pendingText } from '../run-build.ts';
import { getWorkspace, requestBuild } from '../workspaces.ts';

export function registerStop(program: Command, context: () => CliContext): void {
  program
    .command('stop <workspace>')
    .description('stop a workspace; what its template keeps is kept')
    .option('--no-wait', 'return as soon as the build is accepted')
    .action(async (reference: string, { wait }: { wait: boolean }) => {
      const cli = context();
      const client = cli.client();
      const workspace = await getWorkspace(client, reference);
      const build = await requestBuild(client, workspace, {
        build: { transition: 'stop' },
        idempotencyKey: newIdempotencyKey(),
      });
      if (!wait) return cli.output.result(build, () => pendingText(build));
      const ended = await followBuild(cli, client, { build });
      cli.output.result(ended, () => `${workspace.name} is stopped. Next: berth start ${workspace.name}`);
    });
}
