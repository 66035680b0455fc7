import type { Command } from 'commander';
import type { CliContext } from '../context.ts';
import { table } from '../format.ts';
import type { Colors } from '../output.ts';
import { getTemplate } from '../templates.ts';
import type { InvalidatedPresets, PrebuildPool, PrebuildPools } from '../types.ts';

export function registerPrebuilds(program: Command, context: () => CliContext): void {
  const prebuilds = program
    .command('prebuilds')
    .alias('prebuild')
    .description('pools of workspaces that are made before somebody asks for one');
  prebuilds
    .command('list')
    .alias('ls')
    .description('pools of the active versions of templates that you may use')
    .action(async () => {
      const cli = context();
      const found = await cli.client().get<PrebuildPools>('/api/v2/prebuilds');
      cli.output.result(found, () => poolsText(found, cli.output.colors));
    });
  for (const [name, paused, description] of [
    ['pause', true, 'make and delete no prebuilds for now; claims and builds that run go on'],
    ['resume', false, 'bring all pools to their sizes again'],
  ] as const)
    prebuilds
      .command(name)
      .description(description)
      .action(async () => {
        const cli = context();
        const settings = { reconciliation_paused: paused };
        const changed = await cli.client().request('/api/v2/prebuilds/settings', { method: 'PUT', json: settings });
        const state = paused ? 'paused' : 'running';
        cli.output.result(
          settings,
          () => `The reconciliation of pools is ${changed === undefined ? 'already ' : ''}${state}`,
        );
      });
  prebuilds
    .command('invalidate <template>')
    .description('replace all prebuilds of the active version, e.g. because its image has changed')
    .action(async (name: string) => {
      const cli = context();
      const client = cli.client();
      const template = await getTemplate(client, cli.organization, name);
      const path = `/api/v2/templates/${template.id}/prebuilds/invalidate`;
      const done = await client.request<InvalidatedPresets>(path, { method: 'POST' });
      const names = done.invalidated.map(({ preset_name: preset }) => preset).join(', ');
      cli.output.result(done, () =>
        names === ''
          ? `${template.name} has no pools`
          : `The prebuilds of ${template.name} are being replaced: ${names}`,
      );
    });
  prebuilds
    .command('reconcile <template>')
    .description('try again what has failed, and look at the pools of the active version now')
    .action(async (name: string) => {
      const cli = context();
      const client = cli.client();
      const template = await getTemplate(client, cli.organization, name);
      const path = `/api/v2/templates/${template.id}/prebuilds/reconcile`;
      const done = await client.request<{ message: string }>(path, { method: 'POST' });
      cli.output.result(done, () => `The pools of ${template.name} are being reconciled; berth prebuilds list`);
    });
}

function poolsText({ pools, reconciliation_paused: paused }: PrebuildPools, colors: Colors): string {
  const pausedText = paused
    ? [colors.yellow('The reconciliation of pools is paused; berth prebuilds resume goes on with it.')]
    : [];
  if (pools.length === 0) return ['There are no pools: no preset has a prebuilds block.', ...pausedText].join('\n');
  const rows = pools.map((pool) => [
    pool.template_name,
    pool.preset_name,
    String(pool.desired),
    String(pool.running),
    String(pool.eligible),
    String(pool.starting),
    poolStatusText(pool, colors),
  ]);
  const header = ['TEMPLATE', 'PRESET', 'DESIRED', 'RUNNING', 'READY', 'STARTING', 'STATUS'];
  return [table(header, rows, colors), ...pausedText].join('\n');
}

/** A word, and what explains that a pool is not as it should be. */
function poolStatusText({ status, status_detail: detail, expired, failed }: PrebuildPool, colors: Colors): string {
  const notes = [
    detail.split('\n')[0] ?? '',
    expired > 0 ? `${expired} expired` : '',
    failed > 0 ? `${failed} failed` : '',
  ];
  const word = status === 'normal' ? colors.green(status) : colors.red(status);
  return [word, ...notes.filter((note) => note !== '')].join(', ');
}
