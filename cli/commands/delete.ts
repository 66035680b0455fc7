import type { Command } from 'commander';
import { newIdempotencyKey } from '../client.ts';
import type { CliContext } from '../context.ts';
import { CliError } from '../errors.ts';
import { confirm } from '../prompt.ts';
import { followBuild, pendingText } from '../run-build.ts';
import { getWorkspace, requestBuild } from '../workspaces.ts';

interface DeleteOptions {
  readonly orphan?: boolean;
  readonly yes?: boolean;
  readonly wait: boolean;
}

export function registerDelete(program: Command, context: () => CliContext): void {
  program
    .command('delete <workspace>')
    .alias('rm')
    .description('delete a workspace and everything that its template has made for it')
    .option('--orphan', 'forget its resources instead of destroying them (template admins)')
    .option('-y, --yes', 'do not ask')
    .option('--no-wait', 'return as soon as the build is accepted')
    .action(async (reference: string, options: DeleteOptions) => {
      const cli = context();
      const client = cli.client();
      const workspace = await getWorkspace(client, reference);
      const question =
        options.orphan === true
          ? `Delete ${workspace.name} and leave its resources behind?`
          : `Delete ${workspace.name} with all its files?`;
      if (options.yes !== true && !(await confirm(cli, question))) throw new CliError('Nothing was deleted');
      const build = await requestBuild(client, workspace, {
        build: { transition: 'delete', ...(options.orphan === true && { orphan: true }) },
        idempotencyKey: newIdempotencyKey(),
      });
      if (!options.wait) return cli.output.result(build, () => pendingText(build));
      const ended = await followBuild(cli, client, { build });
      cli.output.result(ended, () => `${workspace.name} is deleted.`);
    });
}
