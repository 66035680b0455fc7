import type { Command } from 'commander';
import type { CliContext } from '../context.ts';
import { isOver } from '../follow-job.ts';
import { createLogPrinter } from '../log-printer.ts';
import { parseWhole } from '../parse-values.ts';
import { followBuild } from '../run-build.ts';
import type { JobLog } from '../types.ts';
import { buildLogPath, getBuild, getBuildByNumber, getWorkspace } from '../workspaces.ts';

interface LogsOptions {
  readonly follow?: boolean;
  readonly build?: number;
}

export function registerLogs(program: Command, context: () => CliContext): void {
  program
    .command('logs <workspace>')
    .description('log of the latest build')
    .option('-f, --follow', 'go on until the build has ended; exits 1 when it fails')
    .option('-b, --build <number>', 'of this build instead of the latest', parseWhole)
    .action(async (reference: string, { follow, build: number }: LogsOptions) => {
      const cli = context();
      const { output } = cli;
      const client = cli.client();
      const workspace = await getWorkspace(client, reference, { includeDeleted: true });
      const build = number === undefined ? workspace.latest_build : await getBuildByNumber(client, workspace, number);
      if (follow === true) {
        const ended = await followBuild(cli, client, { build });
        return output.result(ended, () => '');
      }
      const logs = await client.get<JobLog[]>(buildLogPath(build.id));
      output.result(logs, () => {
        const lines: string[] = [];
        const printer = createLogPrinter((line) => lines.push(line), output.colors);
        for (const log of logs) printer.print(log);
        if (isOver(build.job)) printer.close(build.job.completed_at);
        return lines.join('\n');
      });
      // Read again: it may have gone on while we asked for its log.
      const { job } = isOver(build.job) ? build : await getBuild(client, build.id);
      if (!isOver(job) && !output.json) output.say(output.colors.dim(`(${job.status}; -f follows it)`));
    });
}
