import type { Command } from 'commander';
import { createClient } from '../client.ts';
import type { Client } from '../client.ts';
import { whoAmI } from '../context.ts';
import type { CliContext } from '../context.ts';
import { CliError, exitCodes, isStatus, usageError } from '../errors.ts';
import { facts } from '../format.ts';
import { ask, readAll } from '../prompt.ts';
import type { User } from '../types.ts';

interface LoginOptions {
  readonly email?: string;
  readonly passwordStdin?: boolean;
  readonly tokenStdin?: boolean;
}

export function registerLogin(program: Command, context: () => CliContext): void {
  program
    .command('login [url]')
    .description('sign in and remember the session (with --token: remember that one)')
    .option('--email <email>', 'e-mail address; asked for on a terminal')
    .option('--password-stdin', 'read the password from standard input')
    .option('--token-stdin', 'read a session token from standard input')
    .action(async (url: string | undefined, options: LoginOptions) => {
      const cli = context();
      const server = cli.publicClient(url ?? undefined);
      const given = program.opts<{ token?: string }>().token;
      const token = given ?? (options.tokenStdin === true ? await readAll(cli.stdin) : undefined);
      const session = { url: server.url, token: token ?? (await openSession(cli, server, options)) };
      const user = await whoAmI(createClient(session));
      cli.session.save(session);
      cli.output.result(
        { url: session.url, username: user.username, email: user.email, session_file: cli.session.path },
        () => `Signed in to ${session.url} as ${user.username}; the session is in ${cli.session.path}`,
      );
    });
  program
    .command('logout')
    .description('end the session at the server and forget it here')
    .action(async () => {
      const cli = context();
      const client = cli.client();
      await client.request('/api/v2/users/logout', { method: 'POST' }).catch((err: unknown) => {
        // A session that the server does not know any more is ended already.
        if (!isStatus(err, 401)) throw err;
      });
      cli.session.forget();
      cli.output.result({ signed_out: client.url }, () => `Signed out of ${client.url}`);
    });
  program
    .command('whoami')
    .description('who you are, and where')
    .action(async () => {
      const cli = context();
      const client = cli.client();
      const user = await whoAmI(client);
      cli.output.result({ ...user, url: client.url }, () => describeUser(cli, client, user));
    });
}

async function openSession(cli: CliContext, client: Client, options: LoginOptions): Promise<string> {
  if ((await client.find('/api/v2/users/first')) === undefined)
    throw new CliError(`${client.url} has no user yet`, {
      exitCode: exitCodes.notSignedIn,
      next: 'npm run up creates the first one, or POST /api/v2/users/first',
    });
  if (options.passwordStdin === true && options.email === undefined)
    throw usageError('--password-stdin needs --email', 'berth login --email you@example.com --password-stdin < file');
  const instead = 'use --email with --password-stdin, or --token';
  const email = options.email ?? (await ask(cli, 'E-mail', { instead }));
  const password =
    options.passwordStdin === true ? await readAll(cli.stdin) : await ask(cli, 'Password', { secret: true, instead });
  const { session_token: token } = await client.request<{ session_token: string }>('/api/v2/users/login', {
    method: 'POST',
    json: { email, password },
  });
  return token;
}

const describeUser = (cli: CliContext, client: Client, user: User): string =>
  facts(
    [
      ['user', user.username],
      ['e-mail', user.email],
      ['name', user.name],
      ['roles', user.roles.map((role) => role.display_name || role.name).join(', ') || 'member'],
      ['status', user.status],
      ['server', client.url],
      ['session', cli.session.path],
    ],
    cli.output.colors,
  );
