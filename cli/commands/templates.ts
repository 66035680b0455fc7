import type { Command } from 'commander';
import type { CliContext } from '../context.ts';
import { CliError, exitCodes } from '../errors.ts';
import { ago, duration, statusText, table } from '../format.ts';
import { confirm } from '../prompt.ts';
import { getTemplate, getVersion, promoteVersion } from '../templates.ts';
import type { DailyActivity, Template, TemplateVersion } from '../types.ts';
import { describeTemplate } from './template-show.ts';
import { registerTemplatePush } from './template-push.ts';

export function registerTemplates(program: Command, context: () => CliContext): void {
  const templates = program.command('templates').alias('template').description('push, promote and look at templates');
  registerTemplatePush(templates, context);
  templates
    .command('list')
    .alias('ls')
    .description('templates that you may use')
    .option('-q, --query <query>', 'search terms, e.g. name:dev deprecated:true', '')
    .action(async ({ query }: { query: string }) => {
      const cli = context();
      const found = await cli.client().get<Template[]>(`/api/v2/templates?q=${encodeURIComponent(query)}`);
      cli.output.result(found, () => listText(cli, found));
    });
  templates
    .command('versions <template>')
    .description('versions of a template, newest first')
    .option('--archived', 'also archived ones')
    .action(async (name: string, { archived }: { archived?: boolean }) => {
      const cli = context();
      const client = cli.client();
      const template = await getTemplate(client, cli.organization, name);
      const query = archived === true ? '?include_archived=true' : '';
      const versions = await client.get<TemplateVersion[]>(`/api/v2/templates/${template.id}/versions${query}`);
      const newestFirst = versions.toSorted((a, b) => Date.parse(b.created_at) - Date.parse(a.created_at));
      cli.output.result(newestFirst, () => versionsText(cli, template, newestFirst));
    });
  templates
    .command('show <template>')
    .description('settings, parameters, presets and variables of a template')
    .option('--template-version <name>', 'of this version instead of the active one')
    .action(async (name: string, { templateVersion: versionName }: { templateVersion?: string }) => {
      const cli = context();
      const client = cli.client();
      const template = await getTemplate(client, cli.organization, name);
      const version = await getVersion(client, template, versionName);
      const details = await describeTemplate(client, template, version);
      cli.output.result(details.document, () => details.text(cli.output.colors));
    });
  templates
    .command('activity <template>')
    .description('how many people used a template on each of the last 60 days')
    .action(async (name: string) => {
      const cli = context();
      const client = cli.client();
      const template = await getTemplate(client, cli.organization, name);
      // Days as this machine's clock has them, to the hour.
      const offset = Math.trunc(-cli.now().getTimezoneOffset() / 60);
      const found = await client.get<DailyActivity>(`/api/v2/templates/${template.id}/daus?tz_offset=${offset}`);
      cli.output.result(found, () => activityText(cli, template, found));
    });
  templates
    .command('promote <template> <version>')
    .description('make a version the one that new workspaces use')
    .action(async (name: string, versionName: string) => {
      const cli = context();
      const client = cli.client();
      const template = await getTemplate(client, cli.organization, name);
      const version = await getVersion(client, template, versionName);
      await promoteVersion(client, template.id, version.id);
      const promoted = await getTemplate(client, cli.organization, name);
      cli.output.result(promoted, () => `${version.name} is the active version of ${template.name}`);
    });
  templates
    .command('delete <template>')
    .description('delete a template that no workspace uses')
    .option('-y, --yes', 'do not ask')
    .action(async (name: string, { yes }: { yes?: boolean }) => {
      const cli = context();
      const client = cli.client();
      const template = await getTemplate(client, cli.organization, name);
      if (yes !== true && !(await confirm(cli, `Delete the template ${template.name}?`)))
        throw new CliError('Nothing was deleted', { exitCode: exitCodes.failed });
      await client.request(`/api/v2/templates/${template.id}`, { method: 'DELETE' });
      cli.output.result({ deleted: template.id, name: template.name }, () => `Template ${template.name} is deleted`);
    });
}

function listText({ output, now }: CliContext, templates: readonly Template[]): string {
  if (templates.length === 0) return 'No templates. Push one: berth templates push examples/templates/local-process';
  const rows = templates.map((template) => [
    template.name,
    template.display_name,
    template.organization_name,
    String(template.active_user_count),
    template.build_time_stats.start.P50 === null ? '' : duration(template.build_time_stats.start.P50),
    ago(template.updated_at, now()),
    template.deprecated ? 'deprecated' : '',
  ]);
  const header = ['NAME', 'DISPLAY NAME', 'ORGANIZATION', 'USERS', 'START', 'UPDATED', ''];
  return table(header, rows, output.colors);
}

function versionsText({ output, now }: CliContext, template: Template, versions: readonly TemplateVersion[]): string {
  const { colors } = output;
  const rows = versions.map((version) => [
    version.name,
    statusText(version.job.status, colors),
    version.id === template.active_version_id ? 'active' : version.archived ? 'archived' : '',
    version.created_by.username,
    ago(version.created_at, now()),
    version.message.split('\n')[0] ?? '',
  ]);
  return table(['VERSION', 'IMPORT', '', 'BY', 'CREATED', 'MESSAGE'], rows, colors);
}

function activityText({ output }: CliContext, template: Template, { entries }: DailyActivity): string {
  const used = entries.filter(({ amount }) => amount > 0);
  if (used.length === 0) return `Nobody used ${template.name} in the last ${entries.length} days`;
  const rows = used.map(({ date, amount }) => [date, String(amount)]);
  return table(['DAY', 'USERS'], rows, output.colors);
}
