import type { Command } from 'commander';
import type { CliContext } from '../context.ts';
import { getWorkspace } from '../workspaces.ts';

export function registerFavorite(program: Command, context: () => CliContext): void {
  const mark = (favorite: boolean) => async (reference: string) => {
    const cli = context();
    const client = cli.client();
    const workspace = await getWorkspace(client, reference);
    const method = favorite ? 'PUT' : 'DELETE';
    await client.request(`/api/v2/workspaces/${workspace.id}/favorite`, { method });
    cli.output.result({ id: workspace.id, name: workspace.name, favorite }, () =>
      favorite ? `${workspace.name} is a favorite: it is listed first.` : `${workspace.name} is no favorite any more.`,
    );
  };
  program.command('favorite <workspace>').description('list a workspace of yours first').action(mark(true));
  program.command('unfavorite <workspace>').description('list it in its ordinary place').action(mark(false));
}
