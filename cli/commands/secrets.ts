import type { Command } from 'commander';
import { isUtf8 } from 'node:buffer';
import { readFileSync } from 'node:fs';
import { extname } from 'node:path';
import { segment } from '../client.ts';
import type { CliContext } from '../context.ts';
import { CliError, exitCodes, isStatus, usageError, withNext } from '../errors.ts';
import { ago, facts, table } from '../format.ts';
import { ask, readAll } from '../prompt.ts';
import type { UserSecret } from '../types.ts';

const path = '/api/v2/users/me/secrets';
const pathOf = (name: string): string => `${path}/${segment(name)}`;

interface SetOptions {
  readonly value?: string;
  readonly valueFile?: string;
  readonly env?: string;
  readonly file?: string;
  readonly description?: string;
  readonly enable?: boolean;
  readonly disable?: boolean;
}

export function registerSecrets(program: Command, context: () => CliContext): void {
  const secrets = program
    .command('secrets')
    .alias('secret')
    .description('values for your workspaces, as variables and files; no command ever shows a value');
  secrets
    .command('list')
    .alias('ls')
    .description('your secrets')
    .action(async () => {
      const cli = context();
      const list = await cli.client().get<UserSecret[]>(path);
      cli.output.result(list, () => listText(cli, list));
    });
  secrets
    .command('show <name>')
    .description('where a secret goes')
    .action(async (name: string) => {
      const cli = context();
      const secret = await cli.client().find<UserSecret>(pathOf(name));
      if (secret === undefined) throw missing(name);
      cli.output.result(secret, () => secretText(cli, secret));
    });
  secrets
    .command('set <name>')
    .description('keep a secret, or change it; the value is read from standard input or asked for when it is not given')
    .option('--value <value>', 'other users of this machine may see it in the list of processes')
    .option('--value-file <path>', 'the bytes of this file, as they are')
    .option('--env <name>', "as this variable; '' = not any more (a new one: the secret's own name)")
    .option('--file <path>', "as this file, ~/… or /…; '' = not any more")
    .option('--description <text>', 'for yourself')
    .option('--enable', 'give it to workspaces')
    .option('--disable', 'keep it, but give it to no workspace')
    .action(async (name: string, options: SetOptions) => {
      const cli = context();
      const saved = await setSecret(cli, name, options);
      cli.output.result(
        saved,
        () => `Secret ${name} is kept${whereText(saved)}; workspaces get it at their next start`,
      );
    });
  secrets
    .command('import <file>')
    .description('keep all secrets of a file (- = standard input), each as a variable of its name; all or none')
    .option('--format <format>', 'env, json or yaml (default: as the file is called)')
    .action(async (file: string, { format }: { format?: string }) => {
      const cli = context();
      const json = {
        format: format ?? formatOf(file),
        content: file === '-' ? await readAll(cli.stdin) : textOf(file),
      };
      const made = await cli.client().request<UserSecret[]>(`${path}/batch`, { method: 'POST', json });
      cli.output.result(made, () => `${made.length} secrets are kept: ${made.map(({ name }) => name).join(', ')}`);
    });
  secrets
    .command('delete <name>')
    .alias('rm')
    .description('delete a secret; what running workspaces have of it stays')
    .action(async (name: string) => {
      const cli = context();
      await cli
        .client()
        .request(pathOf(name), { method: 'DELETE' })
        .catch((err: unknown) => {
          throw isStatus(err, 404) ? missing(name) : err;
        });
      cli.output.result({ deleted: name }, () => `Secret ${name} is deleted`);
    });
}

async function setSecret(cli: CliContext, name: string, options: SetOptions): Promise<UserSecret> {
  if (options.value !== undefined && options.valueFile !== undefined)
    throw usageError('--value and --value-file exclude each other');
  if (options.enable === true && options.disable === true)
    throw usageError('--enable and --disable exclude each other');
  const client = cli.client();
  const existing = await client.find<UserSecret>(pathOf(name));
  const given = {
    ...(options.env !== undefined && { env_name: options.env }),
    ...(options.file !== undefined && { file_path: options.file }),
    ...(options.description !== undefined && { description: options.description }),
    ...(options.enable === true && { enabled: true }),
    ...(options.disable === true && { enabled: false }),
  };
  if (existing !== undefined) {
    // Standard input is a new value only when nothing else is said.
    const value = givenValue(options) ?? (Object.keys(given).length === 0 ? await readValue(cli, name) : undefined);
    return client.request(pathOf(name), { method: 'PATCH', json: { ...given, ...(value !== undefined && { value }) } });
  }
  // Nowhere would be refused: most secrets are variables of their own name.
  const placed = options.env !== undefined || options.file !== undefined || options.disable === true;
  const target = placed ? {} : { env_name: ownVariable(name) };
  const value = givenValue(options) ?? (await readValue(cli, name));
  return client.request<UserSecret>(path, { method: 'POST', json: { name, ...target, ...given, value } });
}

function ownVariable(name: string): string {
  if (/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) return name;
  throw usageError(`"${name}" cannot be a variable`, 'say where the secret goes: --env NAME or --file ~/path');
}

const givenValue = ({ value, valueFile }: SetOptions): string | undefined =>
  value ?? (valueFile === undefined ? undefined : textOf(valueFile));

async function readValue(cli: CliContext, name: string): Promise<string> {
  const instead = 'give it on standard input, or with --value-file';
  if (cli.stdin.isTTY === true) return ask(cli, `Value of ${name}`, { secret: true, instead });
  const value = await readAll(cli.stdin);
  if (value === '') throw usageError(`The value of ${name} is needed, and standard input is empty`, instead);
  return value;
}

/** Bytes that are no text would be changed on their way. */
function textOf(file: string): string {
  let bytes: Buffer;
  try {
    bytes = readFileSync(file);
  } catch (err) {
    throw usageError(
      `${file} cannot be read: ${err instanceof Error && 'code' in err ? String(err.code) : String(err)}`,
    );
  }
  if (!isUtf8(bytes)) throw usageError(`${file} is not UTF-8 text`);
  return bytes.toString('utf8');
}

function formatOf(file: string): string {
  const known: Readonly<Record<string, string>> = { '.env': 'env', '.json': 'json', '.yaml': 'yaml', '.yml': 'yaml' };
  const format = known[extname(file)] ?? (/(^|\/)\.env(\..*)?$/.test(file) ? 'env' : undefined);
  if (format === undefined) throw usageError(`What is ${file}?`, 'say it: --format env, json or yaml');
  return format;
}

const missing = (name: string): CliError =>
  withNext(
    new CliError(`There is no secret ${name}`, { exitCode: exitCodes.notFound }),
    'berth secrets list shows yours',
  );

const whereText = ({ env_name: env, file_path: file, enabled }: UserSecret): string => {
  if (!enabled) return ', disabled';
  const places = [env === '' ? '' : `variable ${env}`, file === '' ? '' : `file ${file}`].filter(Boolean);
  return ` as ${places.join(' and ')}`;
};

function listText({ output, now }: CliContext, list: readonly UserSecret[]): string {
  if (list.length === 0) return 'No secrets. Keep one: berth secrets set API_TOKEN';
  const rows = list.map((secret) => [
    secret.name,
    secret.env_name,
    secret.file_path,
    secret.enabled ? 'yes' : output.colors.dim('no'),
    ago(secret.updated_at, now()),
    secret.description,
  ]);
  return table(['NAME', 'VARIABLE', 'FILE', 'ENABLED', 'CHANGED', 'DESCRIPTION'], rows, output.colors);
}

const secretText = ({ output, now }: CliContext, secret: UserSecret): string =>
  facts(
    [
      ['name', secret.name],
      ['description', secret.description],
      ['variable', secret.env_name],
      ['file', secret.file_path],
      ['enabled', secret.enabled ? 'yes' : 'no'],
      ['made', ago(secret.created_at, now())],
      ['changed', ago(secret.updated_at, now())],
      ['id', secret.id],
    ],
    output.colors,
  );
