import { Command } from 'commander';
import { version } from '../api/version.ts';
import type { CliContext, GlobalOptions } from './context.ts';
import type { OutputStream } from './output.ts';
import { addVersionOption } from './version-option.ts';
import { registerBuilds } from './commands/builds.ts';
import { registerCancel } from './commands/cancel.ts';
import { registerCompletion } from './commands/completion.ts';
import { registerCreate } from './commands/create.ts';
import { registerDelete } from './commands/delete.ts';
import { registerExternalAgent } from './commands/external-agent.ts';
import { registerFavorite } from './commands/favorite.ts';
import { registerList } from './commands/list.ts';
import { registerLogin } from './commands/login.ts';
import { registerLogs } from './commands/logs.ts';
import { registerNotifications } from './commands/notifications.ts';
import { registerOpen } from './commands/open.ts';
import { registerPrebuilds } from './commands/prebuilds.ts';
import { registerQuota } from './commands/quota.ts';
import { registerRefresh } from './commands/refresh.ts';
import { registerRetry } from './commands/retry.ts';
import { registerSchedule } from './commands/schedule.ts';
import { registerSecrets } from './commands/secrets.ts';
import { registerShow } from './commands/show.ts';
import { registerStart } from './commands/start.ts';
import { registerState } from './commands/state.ts';
import { registerStop } from './commands/stop.ts';
import { registerTemplates } from './commands/templates.ts';
import { registerTokens } from './commands/tokens.ts';
import { registerWatch } from './commands/watch.ts';

/** Adds a command; the context is made when the command runs, because global options may stand behind it. */
export type Register = (program: Command, context: () => CliContext) => void;

const commands: readonly Register[] = [
  registerLogin,
  registerTemplates,
  registerPrebuilds,
  registerCreate,
  registerStart,
  registerStop,
  registerDelete,
  registerList,
  registerShow,
  registerLogs,
  registerWatch,
  registerCancel,
  registerRetry,
  registerRefresh,
  registerBuilds,
  registerState,
  registerFavorite,
  registerSchedule,
  registerOpen,
  registerSecrets,
  registerQuota,
  registerNotifications,
  registerExternalAgent,
  registerTokens,
  registerCompletion,
];

export function createProgram(
  createContext: (options: GlobalOptions) => CliContext,
  { stdout, stderr }: { readonly stdout: OutputStream; readonly stderr: OutputStream },
): Command {
  const program = new Command('berth')
    .description('Workspaces on durable workflows, from the command line.')
    .option('--json', 'one JSON document on standard output; everything else goes to standard error')
    .option('--url <url>', 'server (BERTH_URL, or what login has stored)')
    .option('--token <token>', 'session token (BERTH_SESSION_TOKEN, or what login has stored)')
    .option('--org <organization>', 'organization of templates', 'default')
    .option('--no-color', 'no colours (NO_COLOR)')
    .configureHelp({ showGlobalOptions: true, sortSubcommands: false })
    .configureOutput({
      writeOut: (text) => void stdout.write(text),
      writeErr: (text) => void stderr.write(text),
    })
    .showHelpAfterError('berth --help lists the commands; berth <command> --help its options')
    .exitOverride();
  addVersionOption(program, version, (text) => void stdout.write(text));
  program.addHelpText(
    'after',
    '\nExit codes: 0 done, 1 failed or refused, 2 wrong call, 3 not signed in, 4 not found, 5 server not reachable, 130 interrupted.',
  );
  const context = (): CliContext => createContext(program.opts<GlobalOptions>());
  for (const register of commands) register(program, context);
  return program;
}
