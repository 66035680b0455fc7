import type { Command } from 'commander';
import { untilInterrupted } from '../context.ts';
import type { CliContext } from '../context.ts';
import { CliError } from '../errors.ts';
import { followJob, isOver } from '../follow-job.ts';
import type { WorkspaceBuild } from '../types.ts';
import { buildLogPath, cancelBuild, getBuild, getWorkspace } from '../workspaces.ts';

export function registerCancel(program: Command, context: () => CliContext): void {
  program
    .command('cancel <workspace>')
    .description('end the build that is running or waiting; what it has made so far stays in its state')
    .option('--no-wait', 'return as soon as the server has been asked')
    .action(async (reference: string, { wait }: { wait: boolean }) => {
      const cli = context();
      const client = cli.client();
      const workspace = await getWorkspace(client, reference);
      const { latest_build: build } = workspace;
      if (isOver(build.job))
        throw new CliError(`${workspace.name} has no active build: build ${build.build_number} ${build.job.status}`, {
          next: `berth builds ${workspace.name} lists them`,
        });
      await cancelBuild(client, build.id);
      const read = (): Promise<WorkspaceBuild> => getBuild(client, build.id);
      const last = wait
        ? await untilInterrupted(cli, (signal) =>
            followJob(client, cli.output, {
              title: `cancel ${build.transition} of ${workspace.name} (build ${build.build_number})`,
              path: buildLogPath(build.id),
              read,
              signal,
            }),
          )
        : await read();
      // A build may end by itself just before: then it is not canceled, and the caller has to know.
      if (last.job.status === 'succeeded')
        throw new CliError(`Build ${last.build_number} had succeeded before it could be canceled`, { document: last });
      cli.output.result(last, () =>
        isOver(last.job)
          ? `Build ${last.build_number} of ${workspace.name} ${last.job.status === 'canceled' ? 'is canceled' : last.job.status}.`
          : `Build ${last.build_number} of ${workspace.name} is ${last.job.status}; berth logs -f ${workspace.name} follows it.`,
      );
    });
}
