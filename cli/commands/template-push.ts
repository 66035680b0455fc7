import type { Command } from 'commander';
import { untilInterrupted } from '../context.ts';
import type { CliContext } from '../context.ts';
import { CliError, exitCodes, usageError } from '../errors.ts';
import { nameOfDirectory } from '../pack-template.ts';
import { collectPairs } from '../parse-values.ts';
import { confirm } from '../prompt.ts';
import { pushTemplate } from '../push-template.ts';
import type { Pushed } from '../push-template.ts';
import type { ParameterValue } from '../types.ts';

interface PushOptions {
  readonly name?: string;
  readonly versionName?: string;
  readonly message?: string;
  readonly variable?: readonly ParameterValue[];
  readonly activate: boolean;
  readonly yes?: boolean;
}

export function registerTemplatePush(templates: Command, context: () => CliContext): void {
  templates
    .command('push [directory]')
    .description('upload a directory as a new version, import it, and make it the active one')
    .option('--name <template>', 'name of the template (default: the name of the directory)')
    .option('--version-name <name>', 'name of the version (default: made up by the server)')
    .option('-m, --message <text>', 'what has changed')
    .option('--variable <name=value>', 'value of a Terraform variable; may be repeated', collectPairs)
    .option('--activate', 'make it the active version (default)', true)
    .option('--no-activate', 'leave the active version as it is')
    .option('-y, --yes', 'do not ask before the active version changes')
    .action(async (directory: string | undefined, options: PushOptions) => {
      const cli = context();
      const client = cli.client();
      const folder = directory ?? '.';
      const name = options.name ?? nameOfDirectory(folder);
      if (name === '') throw usageError(`${folder} gives no name for the template`, 'name it with --name');
      const pushed = await untilInterrupted(cli, (signal) =>
        pushTemplate(client, cli.output, {
          directory: folder,
          name,
          organization: cli.organization,
          versionName: options.versionName,
          message: options.message,
          variables: options.variable ?? [],
          activate: options.activate,
          signal,
          ...(options.yes !== true && {
            confirm: (template) => confirm(cli, `Replace the active version of ${template.name}?`),
          }),
        }),
      );
      finish(cli, name, pushed);
    });
}

function finish(cli: CliContext, name: string, pushed: Pushed): void {
  if (pushed.kind === 'declined') throw new CliError('Nothing was pushed');
  if (pushed.kind === 'left')
    throw new CliError(`Stopped following; the import of ${pushed.version.name} goes on`, {
      exitCode: exitCodes.interrupted,
      next: `berth templates versions ${name} shows how it went`,
      document: pushed.version,
    });
  const { version, template, created, active } = pushed;
  const text = created
    ? `Template ${template.name} is made, with version ${version.name}.\nNext: berth create my-workspace --template ${template.name}`
    : active
      ? `${version.name} is the active version of ${template.name}.`
      : `${version.name} is imported. Next: berth templates promote ${template.name} ${version.name}`;
  cli.output.result({ template, version, created, active }, () => text);
}
