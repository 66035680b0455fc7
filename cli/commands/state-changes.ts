import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import type { CliContext } from '../context.ts';
import { CliError, usageError } from '../errors.ts';
import { parseWhole } from '../parse-values.ts';
import { confirm } from '../prompt.ts';
import { forgetResource, getCurrentState, restoreState, uploadState } from '../states.ts';
import { getWorkspace } from '../workspaces.ts';

/** Verbs that make another state the current one. Each adds a version, so each can be undone by a restore. */
export function registerStateChanges(state: Command, context: () => CliContext): void {
  state
    .command('push <workspace> <file>')
    .description('make the state in a file the current one')
    .action(async (reference: string, file: string) => {
      const cli = context();
      const client = cli.client();
      const bytes = readState(file);
      const workspace = await getWorkspace(client, reference);
      await uploadState(client, workspace, bytes);
      const current = await getCurrentState(client, workspace);
      cli.output.result(
        current,
        () =>
          `Version ${current.version} is the current state of ${workspace.name} (serial ${current.serial}).\n` +
          `berth state list ${workspace.name} shows the one before it, which can be restored.`,
      );
    });
  state
    .command('restore <workspace> <version>')
    .description('make an earlier version of the state the current one')
    .option('--force', 'also a version of another lineage: what the current state knows is left behind')
    .option('-y, --yes', 'do not ask')
    .action(async (reference: string, text: string, { force, yes }: { force?: boolean; yes?: boolean }) => {
      const cli = context();
      const client = cli.client();
      const version = parseWhole(text);
      const workspace = await getWorkspace(client, reference);
      const question = `Let the next build of ${workspace.name} start from version ${version} of its state?`;
      if (yes !== true && !(await confirm(cli, question))) throw new CliError('Nothing was restored');
      const made = await restoreState(client, workspace, { version, force: force === true });
      cli.output.result(
        made,
        () =>
          `Version ${made.version} is the current state of ${workspace.name}, with the content of version ${version}.\n` +
          `Next: berth refresh ${workspace.name} reads the world into it, berth start ${workspace.name}`,
      );
    });
  state
    .command('forget <workspace> <address>')
    .description('take a resource, an instance or a module out of the state; the thing itself is left as it is')
    .option('-y, --yes', 'do not ask')
    .action(async (reference: string, address: string, { yes }: { yes?: boolean }) => {
      const cli = context();
      const client = cli.client();
      const workspace = await getWorkspace(client, reference);
      const question = `Forget ${address} in the state of ${workspace.name} and leave the thing itself as it is?`;
      if (yes !== true && !(await confirm(cli, question))) throw new CliError('Nothing was forgotten');
      const made = await forgetResource(client, workspace, address);
      cli.output.result(made, () =>
        [
          `The state of ${workspace.name} (version ${made.version}) does not have any more:`,
          ...made.forgotten.map((each) => `  ${each}`),
          `Next: berth start ${workspace.name} makes anew what its template still has`,
        ].join('\n'),
      );
    });
}

function readState(file: string): Buffer {
  const path = resolve(file);
  try {
    return readFileSync(path);
  } catch (err) {
    throw usageError(`${path} cannot be read: ${err instanceof Error ? err.message : String(err)}`);
  }
}
