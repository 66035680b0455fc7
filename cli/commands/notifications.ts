import type { Command } from 'commander';
import { plainText } from '../agents.ts';
import { segment } from '../client.ts';
import type { Client } from '../client.ts';
import type { CliContext } from '../context.ts';
import { CliError, exitCodes, isStatus, usageError, withNext } from '../errors.ts';
import { ago } from '../format.ts';
import type { Inbox, InboxNotification } from '../types.ts';

const path = '/api/v2/notifications/inbox';

export function registerNotifications(program: Command, context: () => CliContext): void {
  const notifications = program
    .command('notifications')
    .alias('notification')
    .description('what the control plane has to tell you');
  notifications
    .command('list', { isDefault: true })
    .alias('ls')
    .description('the newest that you have not read')
    .option('--all', 'all: first the unread ones, then those that you have read')
    .action(async ({ all = false }: { all?: boolean }) => {
      const cli = context();
      const client = cli.client();
      const unread = await listNotifications(client, 'unread', all);
      const read = all ? await listNotifications(client, 'read', all) : [];
      const { unread_count: count } = await client.get<Inbox>(path);
      const found = { notifications: [...unread, ...read], unread_count: count };
      cli.output.result(found, () => inboxText(cli, found));
    });
  notifications
    .command('read [id]')
    .description('mark one as read, or all')
    .option('--all', 'all of them')
    .action(async (id: string | undefined, { all = false }: { all?: boolean }) => {
      if ((id === undefined) !== all) throw usageError('Which one?', 'give its id, or --all');
      const cli = context();
      if (id === undefined) {
        await cli.client().request(`${path}/mark-all-as-read`, { method: 'PUT' });
        return cli.output.result({ unread_count: 0 }, () => 'All notifications are read');
      }
      const json = { is_read: true };
      const done = await cli
        .client()
        .request<{ unread_count: number }>(`${path}/${segment(id)}/read-status`, { method: 'PUT', json })
        .catch((err: unknown) => {
          throw isStatus(err, 404) ? missing(id) : err;
        });
      cli.output.result(done, () => `Read; ${done.unread_count} unread`);
    });
}

/** Those of one kind, newest first: a page, or all pages. */
async function listNotifications(
  client: Client,
  status: 'unread' | 'read',
  allPages: boolean,
): Promise<InboxNotification[]> {
  const found: InboxNotification[] = [];
  for (let before = ''; ;) {
    const { notifications } = await client.get<Inbox>(`${path}?read_status=${status}${before}`);
    found.push(...notifications);
    const last = notifications.at(-1);
    if (last === undefined || !allPages) return found;
    before = `&starting_before=${last.id}`;
  }
}

const missing = (id: string): CliError =>
  withNext(
    new CliError(`There is no notification ${id}`, { exitCode: exitCodes.notFound }),
    'berth notifications list --all shows yours',
  );

function inboxText({ output, now }: CliContext, { notifications, unread_count: unread }: Inbox): string {
  const { colors } = output;
  const unreadShown = notifications.filter(({ read_at: readAt }) => readAt === null).length;
  const entries = notifications.map((each) =>
    [
      `${each.read_at === null ? '*' : ' '} ${colors.bold(plainText(each.title))}`,
      colors.dim(`  ${each.id}  ${ago(each.created_at, now())}`),
      ...plainText(each.content)
        .split('\n')
        .map((line) => `  ${line}`),
    ].join('\n'),
  );
  if (entries.length === 0) return 'No unread notifications; --all shows those that you have read';
  const more = unread > unreadShown ? [`${unread - unreadShown} more unread: berth notifications --all`] : [];
  return [...entries, ...more].join('\n');
}
