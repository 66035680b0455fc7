import { CommanderError, Option } from 'commander';
import type { Command } from 'commander';
import { usageError } from './errors.ts';

/**
 * `berth --version`, and `--version <number>` behind the one command whose things have versions. Commander takes an option of
 * the program wherever it stands, so without this a state that is pulled into a file would be the program's version.
 */
export function addVersionOption(program: Command, version: string, write: (text: string) => void): void {
  program.addOption(new Option('-V, --version [number]', 'version of this program').argParser((text: string) => text));
  program.on('option:version', (value: string | null) => {
    if (isNumber(value)) return;
    write(`${version}\n`);
    throw new CommanderError(0, 'commander.version', version);
  });
  program.hook('preAction', (_program, command) => {
    const known = command.options.some(({ long }) => long === '--version');
    if (!known && program.opts<{ version?: string }>().version !== undefined)
      throw usageError(`--version with a number means nothing to berth ${command.name()}`);
  });
}

const isNumber = (value: unknown): value is string => typeof value === 'string' && /^\d+$/.test(value);

/** The number behind a command's own `--version`. */
export function versionOption(command: Command): string | undefined {
  const { version } = command.optsWithGlobals<{ version?: unknown }>();
  return isNumber(version) ? version : undefined;
}
