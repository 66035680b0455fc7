import type { Command } from 'commander';
import { agentsOf, pickAgent } from '../agents.ts';
import { segment } from '../client.ts';
import type { CliContext } from '../context.ts';
import { isStatus, withNext } from '../errors.ts';
import { statusText, table } from '../format.ts';
import type { ExternalAgentCredentials, Workspace } from '../types.ts';
import { getWorkspace } from '../workspaces.ts';

export function registerExternalAgent(program: Command, context: () => CliContext): void {
  const external = program
    .command('external-agent')
    .alias('external-agents')
    .description('agents on machines that the template does not make');
  external
    .command('list')
    .alias('ls')
    .description('workspaces with external agents')
    .option('-a, --all', 'of everybody, as far as you may see them')
    .action(async ({ all }: { all?: boolean }) => {
      const cli = context();
      const q = `has_external_agent:true${all === true ? '' : ' owner:me'}`;
      const page = await cli
        .client()
        .get<{ workspaces: Workspace[]; count: number }>(`/api/v2/workspaces?q=${encodeURIComponent(q)}`);
      cli.output.result(page, () => listText(cli, page.workspaces));
    });
  external
    .command('credentials <workspace> [agent]')
    .description('the command that makes a machine the one of the agent; it contains the token')
    .action(async (reference: string, agent: string | undefined) => {
      const cli = context();
      const client = cli.client();
      const workspace = await getWorkspace(client, reference);
      const name = agent ?? pickAgent(workspace.latest_build, undefined).name;
      const path = `/api/v2/workspaces/${workspace.id}/external-agent/${segment(name)}/credentials`;
      const credentials = await client.get<ExternalAgentCredentials>(path).catch((err: unknown) => {
        if (isStatus(err, 404)) throw withNext(err, 'berth external-agent list shows those there are');
        if (isStatus(err, 409)) throw withNext(err, `berth start ${workspace.name}, then ask again`);
        throw err;
      });
      cli.output.result(credentials, () => credentials.command);
    });
}

function listText({ output }: CliContext, workspaces: readonly Workspace[]): string {
  if (workspaces.length === 0) return 'No workspace has an external agent.';
  const rows = workspaces.flatMap((workspace) => {
    const agents = agentsOf(workspace.latest_build).filter((agent) => agent.parent_id === null);
    const name = `${workspace.owner_name}/${workspace.name}`;
    const status = statusText(workspace.latest_build.status, output.colors);
    if (agents.length === 0) return [[name, status, '', '', '']];
    return agents.map((agent) => [
      name,
      status,
      agent.name,
      statusText(agent.status, output.colors),
      `${agent.operating_system}/${agent.architecture}`,
    ]);
  });
  return table(['WORKSPACE', 'STATUS', 'AGENT', 'CONNECTION', 'PLATFORM'], rows, output.colors);
}
