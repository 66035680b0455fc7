import type { Command } from 'commander';
import { segment } from '../client.ts';
import type { CliContext } from '../context.ts';
import { CliError, exitCodes, isStatus, withNext } from '../errors.ts';
import { facts } from '../format.ts';
import { parseWhole } from '../parse-values.ts';
import type { Group, WorkspaceQuota } from '../types.ts';

export function registerQuota(program: Command, context: () => CliContext): void {
  const quota = program.command('quota').description('what workspaces may cost a day, and what they do cost');
  quota
    .command('show [user]', { isDefault: true })
    .description('your budget, or that of another user')
    .action(async (user = 'me') => {
      const cli = context();
      const path = `/api/v2/organizations/${segment(cli.organization)}/members/${segment(user)}/workspace-quota`;
      const found = await cli
        .client()
        .get<WorkspaceQuota>(path)
        .catch((err: unknown) => {
          throw isStatus(err, 404)
            ? new CliError(
                `${user === 'me' ? 'You are' : `${user} is`} no member of the organization ${cli.organization}`,
                {
                  exitCode: exitCodes.notFound,
                  next: '--org names another one',
                },
              )
            : err;
        });
      cli.output.result(found, () => quotaText(cli, found));
    });
  quota
    .command('allow <credits>')
    .description('set what a group adds to the budget of each of its members')
    .option('--group <name>', 'a group of the organization', 'Everyone')
    .action(async (credits: string, { group: name }: { group: string }) => {
      const allowance = parseWhole(credits);
      const cli = context();
      const client = cli.client();
      const groups = await client.get<Group[]>(`/api/v2/organizations/${segment(cli.organization)}/groups`);
      const group = groups.find((each) => each.name.toLowerCase() === name.toLowerCase());
      if (group === undefined)
        throw new CliError(`There is no group ${name} in the organization ${cli.organization}`, {
          exitCode: exitCodes.notFound,
          next: `groups that you see: ${groups.map((each) => each.name).join(', ')}`,
        });
      const changed = await client
        .request<Group>(`/api/v2/groups/${group.id}`, { method: 'PATCH', json: { quota_allowance: allowance } })
        .catch((err: unknown) => {
          throw isStatus(err, 403) ? withNext(err, 'administrators of the organization may change its groups') : err;
        });
      cli.output.result(
        changed,
        () => `${changed.name} adds ${changed.quota_allowance} credits a day to the budget of each of its members`,
      );
    });
}

function quotaText({ output }: CliContext, { budget, credits_consumed: consumed }: WorkspaceQuota): string {
  const limited = budget >= 0;
  return facts(
    [
      ['budget', limited ? `${budget} credits a day` : 'no limit (quota is switched off)'],
      ['consumed', `${consumed} credits a day`],
      ['left', limited ? String(Math.max(0, budget - consumed)) : null],
    ],
    output.colors,
  );
}
