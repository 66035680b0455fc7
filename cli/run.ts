import { spawn } from 'node:child_process';
import { CommanderError } from 'commander';
import type { CliConfig } from '../config.ts';
import { createClient } from './client.ts';
import type { CliContext, GlobalOptions } from './context.ts';
import { CliError, exitCodes } from './errors.ts';
import { createOutput } from './output.ts';
import type { Output, OutputStream } from './output.ts';
import { createProgram } from './program.ts';
import { readSession, removeSession, resolveSession, sessionPath, writeSession } from './session-file.ts';

export interface CliWorld {
  readonly config: CliConfig;
  readonly cwd: string;
  readonly stdin: NodeJS.ReadStream;
  readonly stdout: OutputStream;
  readonly stderr: OutputStream;
  readonly onInterrupt: CliContext['onInterrupt'];
  readonly now?: () => Date;
}

/** One call of `berth`: arguments in, exit code out. Nothing else of the process is touched, so tests can call it. */
export async function runCli(args: readonly string[], world: CliWorld): Promise<number> {
  let context: CliContext | undefined;
  const program = createProgram((options) => (context = createContext(world, options)), world);
  try {
    await program.parseAsync(args, { from: 'user' });
    return exitCodes.ok;
  } catch (err) {
    // Asked for help or the version: said already. Anything else from the parser is a wrong call, said too.
    if (err instanceof CommanderError) return err.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
    const json = args.includes('--json');
    const output = context?.output ?? outputOf(world, { json, color: !args.includes('--no-color'), org: '' });
    const error = err instanceof CliError ? err : unexpected(err);
    output.fail(error);
    return error.exitCode;
  }
}

const unexpected = (err: unknown): CliError =>
  new CliError(err instanceof Error ? err.message : String(err), {
    next: 'this is a bug of berth; the stack is below',
    detail: err instanceof Error ? `\n${err.stack ?? ''}` : '',
  });

const outputOf = ({ stdout, stderr, config }: CliWorld, options: GlobalOptions): Output =>
  createOutput({
    stdout,
    stderr,
    json: options.json === true,
    noColor: config.noColor || !options.color,
    ci: config.ci,
  });

function createContext(world: CliWorld, options: GlobalOptions): CliContext {
  const { config, cwd } = world;
  const path = sessionPath(config, cwd);
  const known = () =>
    resolveSession(readSession(path), { url: options.url ?? config.url, token: options.token ?? config.token });
  return {
    output: outputOf(world, options),
    organization: options.org,
    onInterrupt: world.onInterrupt,
    stdin: world.stdin,
    now: world.now ?? (() => new Date()),
    client() {
      const { url, token } = known();
      if (url === undefined || token === undefined)
        throw new CliError(url === undefined ? 'You are not signed in' : `You are not signed in to ${url}`, {
          exitCode: exitCodes.notSignedIn,
          next: `berth login${url === undefined ? ' <url>' : ` ${url}`}, or npm run up for a server of your own`,
        });
      return createClient({ url, token });
    },
    publicClient: (url) => createClient({ url: url ?? known().url ?? 'http://127.0.0.1:3000', token: known().token }),
    session: {
      path,
      save: (session) => writeSession(path, session),
      forget: () => removeSession(path),
    },
    openBrowser(url) {
      const command = process.platform === 'darwin' ? 'open' : 'xdg-open';
      const child = spawn(command, [url], { stdio: 'ignore', detached: true });
      // Without a desktop there is nothing to open it with; the address is on the screen.
      child.on('error', () => undefined);
      child.unref();
      return child.pid !== undefined;
    },
  };
}
