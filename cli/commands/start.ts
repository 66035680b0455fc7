import type { Command } from 'commander';
import { newIdempotencyKey } from '../client.ts';
import type { CliContext } from '../context.ts';
import { collectPairs } from '../parse-values.ts';
import { followBuild, pendingText } from '../run-build.ts';
import { getPreset, getTemplate, getVersion, requireKnownParameters } from '../templates.ts';
import type { ParameterValue, Workspace } from '../types.ts';
import { getWorkspace, requestBuild, wakeWorkspace } from '../workspaces.ts';
import { runningText } from './workspace-text.ts';

interface StartOptions {
  readonly parameter?: readonly ParameterValue[];
  readonly preset?: string;
  readonly templateVersion?: string;
  readonly update?: boolean;
  readonly wait: boolean;
}

export function registerStart(program: Command, context: () => CliContext): void {
  program
    .command('start <workspace>')
    .description('start a workspace, or apply new parameters to a running one; a dormant one is woken first')
    .option('-p, --parameter <name=value>', 'new value of a parameter; the others stay as they were', collectPairs)
    .option('--preset <name>', 'preset with values for the parameters')
    .option('--template-version <name>', 'with this version of the template')
    .option('--update', "with the template's active version")
    .option('--no-wait', 'return as soon as the build is accepted')
    .action(async (reference: string, options: StartOptions) => {
      const cli = context();
      const client = cli.client();
      const workspace = await getWorkspace(client, reference);
      const versionId = await chooseVersion(cli, workspace, options);
      const preset =
        options.preset === undefined
          ? undefined
          : await getPreset(client, versionId ?? workspace.latest_build.template_version_id, options.preset);
      const chosen = versionId ?? workspace.latest_build.template_version_id;
      await requireKnownParameters(client, chosen, options.parameter ?? []);
      if (workspace.dormant_at !== null) {
        await wakeWorkspace(client, workspace);
        cli.output.say(`${workspace.name} was dormant and is awake again`);
      }
      const build = await requestBuild(client, workspace, {
        build: {
          transition: 'start',
          rich_parameter_values: options.parameter ?? [],
          ...(versionId !== undefined && { template_version_id: versionId }),
          ...(preset !== undefined && { template_version_preset_id: preset.ID }),
        },
        idempotencyKey: newIdempotencyKey(),
      });
      if (!options.wait) return cli.output.result(build, () => pendingText(build));
      const ended = await followBuild(cli, client, { build });
      const started = await client.get<Workspace>(`/api/v2/workspaces/${workspace.id}`);
      cli.output.result(ended, () => runningText(started, cli.output.colors));
    });
}

async function chooseVersion(
  cli: CliContext,
  workspace: Workspace,
  options: StartOptions,
): Promise<string | undefined> {
  if (options.update === true) return workspace.template_active_version_id;
  if (options.templateVersion === undefined) return undefined;
  const client = cli.client();
  const template = await getTemplate(client, workspace.organization_id, workspace.template_name);
  return (await getVersion(client, template, options.templateVersion)).id;
}
