import type { Command } from 'commander';
import { newIdempotencyKey } from '../client.ts';
import type { CliContext } from '../context.ts';
import { duration } from '../format.ts';
import { collectPairs, parseDuration, parseSchedule } from '../parse-values.ts';
import { followBuild, pendingText } from '../run-build.ts';
import { getPreset, getTemplate, getVersion } from '../templates.ts';
import type { ParameterValue, Workspace } from '../types.ts';
import { createWorkspace, parseReference } from '../workspaces.ts';
import { runningText } from './workspace-text.ts';

interface CreateOptions {
  readonly template: string;
  readonly templateVersion?: string;
  readonly preset?: string;
  readonly parameter?: readonly ParameterValue[];
  readonly ttl?: number;
  readonly autostart?: string;
  readonly automaticUpdates?: 'always' | 'never';
  readonly wait: boolean;
}

export function registerCreate(program: Command, context: () => CliContext): void {
  program
    .command('create <name>')
    .description('create a workspace and start it; owner/name creates it for somebody else')
    .requiredOption('-t, --template <template>', 'template to make it from')
    .option('--template-version <name>', 'this version instead of the active one')
    .option('--preset <name>', 'preset with values for the parameters')
    .option('-p, --parameter <name=value>', 'value of a parameter; may be repeated', collectPairs)
    .option('--ttl <duration>', 'stop it this long after its start, e.g. 8h', parseDuration)
    .option(
      '--autostart <schedule>',
      'e.g. "09:30 Mon-Fri Europe/Berlin", or CRON_TZ=… with five fields',
      parseSchedule,
    )
    .option('--automatic-updates', 'always start with the active version of the template')
    .option('--no-wait', 'return as soon as the build is accepted')
    .action(async (reference: string, options: CreateOptions) => {
      const cli = context();
      const client = cli.client();
      const { owner, name } = parseReference(reference);
      const template = await getTemplate(client, cli.organization, options.template);
      const versionName = options.templateVersion;
      const versionId =
        versionName === undefined ? template.active_version_id : (await getVersion(client, template, versionName)).id;
      const preset = options.preset === undefined ? undefined : await getPreset(client, versionId, options.preset);
      const askedAt = performance.now();
      const workspace = await createWorkspace(
        client,
        {
          name,
          ...(versionName === undefined ? { template_id: template.id } : { template_version_id: versionId }),
          rich_parameter_values: options.parameter ?? [],
          ...(preset !== undefined && { template_version_preset_id: preset.ID }),
          ...(options.ttl !== undefined && { ttl_ms: options.ttl }),
          ...(options.autostart !== undefined && { autostart_schedule: options.autostart }),
          ...(options.automaticUpdates !== undefined && { automatic_updates: 'always' }),
        },
        { owner, idempotencyKey: newIdempotencyKey() },
      );
      if (workspace.claimed_at !== null)
        cli.output.say(`claimed a prebuilt workspace in ${duration(performance.now() - askedAt)}`);
      const { latest_build: build } = workspace;
      if (!options.wait) return cli.output.result(workspace, () => pendingText(build));
      await followBuild(cli, client, { build });
      const started = await client.get<Workspace>(`/api/v2/workspaces/${workspace.id}`);
      cli.output.result(started, () => runningText(started, cli.output.colors));
    });
}
