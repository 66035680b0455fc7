import type { Command } from 'commander';
import { workflowLink } from '../context.ts';
import type { CliContext } from '../context.ts';
import { CliError } from '../errors.ts';
import { parseWhole } from '../parse-values.ts';
import { getBuildByNumber, getWorkspace } from '../workspaces.ts';

export function registerOpen(program: Command, context: () => CliContext): void {
  program
    .command('open <workspace>')
    .description("the latest build's workflow in the Temporal Web UI")
    .option('-b, --build <number>', 'of this build instead of the latest', parseWhole)
    .option('--no-browser', 'print the address only')
    .action(async (reference: string, { build: number, browser }: { build?: number; browser: boolean }) => {
      const cli = context();
      const client = cli.client();
      const workspace = await getWorkspace(client, reference, { includeDeleted: true });
      const build = number === undefined ? workspace.latest_build : await getBuildByNumber(client, workspace, number);
      const url = await workflowLink(client, `build/${build.id}`);
      if (url === undefined)
        throw new CliError('The server does not know where its Temporal Web UI is', {
          next: 'set TEMPORAL_UI_URL for the API process',
        });
      cli.output.result({ url, build_id: build.id, build_number: build.build_number }, () => url);
      if (browser && cli.output.interactive && !cli.output.json) cli.openBrowser(url);
    });
}
