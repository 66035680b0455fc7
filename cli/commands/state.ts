import { writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import type { CliContext } from '../context.ts';
import { CliError } from '../errors.ts';
import { ago, table } from '../format.ts';
import { parseWhole } from '../parse-values.ts';
import { downloadState, getCurrentState, listStateVersions } from '../states.ts';
import type { StateVersion, Workspace } from '../types.ts';
import { versionOption } from '../version-option.ts';
import { getWorkspace } from '../workspaces.ts';
import { registerStateChanges } from './state-changes.ts';

export function registerState(program: Command, context: () => CliContext): void {
  const state = program
    .command('state')
    .description('look at the Terraform state of a workspace and repair it (template admins)');
  state
    .command('list <workspace>')
    .alias('ls')
    .description('versions of the state, newest first; the last ten can be pulled and restored')
    .option('--limit <number>', 'at most so many', parseWhole, 25)
    .action(async (reference: string, { limit }: { limit: number }) => {
      const cli = context();
      const client = cli.client();
      const workspace = await getWorkspace(client, reference, { includeDeleted: true });
      const versions = await listStateVersions(client, workspace, limit);
      cli.output.result(versions, () => versionsText(cli, workspace, versions));
    });
  state
    .command('pull <workspace>')
    .description('the current state, byte by byte, on standard output')
    .option('--version <number>', 'another version of it')
    .option('-o, --output <file>', 'into this file, which nobody else may read')
    .action(async (reference: string, options: { output?: string }, command: Command) => {
      const cli = context();
      const wanted = versionOption(command);
      const client = cli.client();
      const workspace = await getWorkspace(client, reference, { includeDeleted: true });
      const version = wanted === undefined ? (await getCurrentState(client, workspace)).version : parseWhole(wanted);
      const bytes = await downloadState(client, workspace, version);
      if (options.output === undefined) return cli.output.raw(bytes);
      const path = resolve(options.output);
      writePrivately(path, bytes);
      const document = { workspace_id: workspace.id, version, path, size_bytes: bytes.length };
      cli.output.result(document, () => `Version ${version} of the state of ${workspace.name} is in ${path}`);
    });
  registerStateChanges(state, context);
}

/** A state holds secrets in clear text. */
function writePrivately(path: string, bytes: Buffer): void {
  try {
    writeFileSync(path, bytes, { mode: 0o600 });
  } catch (err) {
    throw new CliError(`${path} cannot be written: ${err instanceof Error ? err.message : String(err)}`, {
      next: 'name another file with --output',
    });
  }
}

function versionsText({ output, now }: CliContext, { name }: Workspace, versions: readonly StateVersion[]): string {
  const { colors } = output;
  if (versions.length === 0) return `${name} has no state yet.`;
  const rows = versions.map((version) => [
    String(version.version),
    String(version.build_number),
    version.source,
    String(version.serial),
    version.lineage.slice(0, 8),
    String(version.size_bytes),
    version.created_by_name,
    ago(version.created_at, now()),
    version.current ? colors.green('current') : version.kept ? '' : colors.dim('not kept'),
  ]);
  return table(['VERSION', 'BUILD', 'SOURCE', 'SERIAL', 'LINEAGE', 'BYTES', 'BY', 'CREATED', ''], rows, colors);
}
