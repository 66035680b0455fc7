import type { Command } from 'commander';
import { agentLogPath, pickAgent, plainText } from '../agents.ts';
import type { Client } from '../client.ts';
import { untilInterrupted } from '../context.ts';
import type { CliContext } from '../context.ts';
import { CliError, exitCodes } from '../errors.ts';
import { followAgentLogs } from '../follow-agent-logs.ts';
import { isOver } from '../follow-job.ts';
import { createLogPrinter, paint } from '../log-printer.ts';
import { parseWhole } from '../parse-values.ts';
import { followBuild } from '../run-build.ts';
import type { AgentLog, JobLog, WorkspaceAgent, WorkspaceBuild } from '../types.ts';
import { buildLogPath, getBuild, getBuildByNumber, getWorkspace } from '../workspaces.ts';

interface LogsOptions {
  readonly follow?: boolean;
  readonly build?: number;
  /** True when no name is given. */
  readonly agent?: string | true;
}

export function registerLogs(program: Command, context: () => CliContext): void {
  program
    .command('logs <workspace>')
    .description('log of the latest build, or of an agent')
    .option('-f, --follow', 'go on until the build has ended; exits 1 when it fails. Of an agent: until another build')
    .option('-b, --build <number>', 'of this build instead of the latest', parseWhole)
    .option('-a, --agent [name]', 'of this agent instead of the build; of the only one when none is named')
    .action(async (reference: string, { follow = false, build: number, agent: name }: LogsOptions) => {
      const cli = context();
      const client = cli.client();
      const workspace = await getWorkspace(client, reference, { includeDeleted: true });
      const build = number === undefined ? workspace.latest_build : await getBuildByNumber(client, workspace, number);
      if (name === undefined) return showBuildLog(cli, client, { build, follow });
      const agent = pickAgent(build, name === true ? undefined : name);
      await showAgentLog(cli, client, { agent, follow });
    });
}

async function showBuildLog(
  cli: CliContext,
  client: Client,
  { build, follow }: { build: WorkspaceBuild; follow: boolean },
): Promise<void> {
  const { output } = cli;
  if (follow) {
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
}

const truncated = '(the limit of this log is reached: later output is not kept, the scripts themselves run on)';

/** With --json and --follow a row a line, because nobody knows when it ends. */
async function showAgentLog(
  cli: CliContext,
  client: Client,
  { agent, follow }: { agent: WorkspaceAgent; follow: boolean },
): Promise<void> {
  const { output } = cli;
  const sources = new Map(agent.log_sources.map((source) => [source.id, source.display_name]));
  const textOf = (log: AgentLog): string => {
    const source = plainText(sources.get(log.source_id) ?? 'other');
    const head = output.colors.dim(`${log.created_at.slice(11, 19)} [${source}]`);
    return `${head} ${paint(log.level, plainText(log.output), output.colors)}`;
  };
  if (!follow) {
    const logs = await client.get<AgentLog[]>(agentLogPath(agent.id));
    output.result(logs, () => [...logs.map(textOf), ...(agent.logs_overflowed ? [truncated] : [])].join('\n'));
    return;
  }
  const interrupted = await untilInterrupted(cli, async (signal) => {
    await followAgentLogs(client, {
      agentId: agent.id,
      signal,
      onLog(log) {
        if (output.json) output.raw(Buffer.from(`${JSON.stringify(log)}\n`));
        else output.say(textOf(log));
      },
    });
    return signal.aborted;
  });
  if (interrupted) throw new CliError('Stopped following; the agent goes on', { exitCode: exitCodes.interrupted });
  if (!output.json) output.say(output.colors.dim('(another build has taken the place of this agent)'));
}
