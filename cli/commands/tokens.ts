import type { Command } from 'commander';
import { segment } from '../client.ts';
import type { CliContext } from '../context.ts';
import { CliError, exitCodes } from '../errors.ts';
import { ago, table } from '../format.ts';
import { parseDuration } from '../parse-values.ts';
import type { ApiKey } from '../types.ts';

const path = '/api/v2/users/me/keys/tokens';
/** The API counts token lifetimes in nanoseconds, as clients know it (spec/06 §1). */
const nanosecondsPerMs = 1_000_000;

interface CreateOptions {
  readonly name?: string;
  readonly lifetime?: number;
  readonly scope?: readonly string[];
}

export function registerTokens(program: Command, context: () => CliContext): void {
  const tokens = program.command('tokens').alias('token').description('tokens for scripts and other machines');
  tokens
    .command('create')
    .description('make a token; it is shown this once')
    .option('--name <name>', 'to find it again')
    .option('--lifetime <duration>', 'e.g. 30d (default: as the server is set, 7 days)', parseDuration)
    .option(
      '--scope <scope>',
      'what it may do; may be repeated (default: everything)',
      (scope, all: readonly string[] | undefined) => [...(all ?? []), scope],
    )
    .action(async ({ name, lifetime, scope }: CreateOptions) => {
      const cli = context();
      const created = await cli.client().request<{ key: string }>(path, {
        method: 'POST',
        json: {
          ...(name !== undefined && { token_name: name }),
          ...(lifetime !== undefined && { lifetime: lifetime * nanosecondsPerMs }),
          ...(scope !== undefined && { scopes: scope }),
        },
      });
      cli.output.result(created, () => created.key);
    });
  tokens
    .command('list')
    .alias('ls')
    .description('your tokens')
    .option('--expired', 'also those that have run out')
    .action(async ({ expired }: { expired?: boolean }) => {
      const cli = context();
      const keys = await cli.client().get<ApiKey[]>(expired === true ? `${path}?include_expired=true` : path);
      cli.output.result(keys, () => listText(cli, keys));
    });
  tokens
    .command('remove <name-or-id>')
    .alias('rm')
    .description('end a token at once')
    .action(async (reference: string) => {
      const cli = context();
      const client = cli.client();
      const keys = await client.get<ApiKey[]>(`${path}?include_expired=true`);
      const found = keys.find((key) => key.id === reference || key.token_name === reference);
      if (found === undefined)
        throw new CliError(`There is no token ${reference}`, {
          exitCode: exitCodes.notFound,
          next: 'berth tokens list --expired shows yours',
        });
      await client.request(`/api/v2/users/me/keys/${segment(found.id)}`, { method: 'DELETE' });
      cli.output.result({ removed: found.id, name: found.token_name }, () => `Token ${reference} is removed`);
    });
}

function listText({ output, now }: CliContext, keys: readonly ApiKey[]): string {
  if (keys.length === 0) return 'No tokens. Make one: berth tokens create --name ci --lifetime 30d';
  const rows = keys.map((key) => [
    key.id,
    key.token_name,
    key.scopes.join(', '),
    ago(key.created_at, now()),
    key.last_used.startsWith('0001-') ? 'never' : ago(key.last_used, now()),
    key.expires_at,
  ]);
  return table(['ID', 'NAME', 'SCOPES', 'CREATED', 'USED', 'EXPIRES'], rows, output.colors);
}
