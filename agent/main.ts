import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createAgent } from './agent.ts';
import { writeExecutable } from './executable.ts';
import { createLog, messageOf } from './log.ts';
import { createServerClient } from './server-client.ts';
import { defaultDataDir, readSettings } from './settings.ts';
import { defaultTimes } from './times.ts';
import { createTokenSource } from './token-source.ts';
import { version } from './version.ts';

/**
 * Entry of the agent process: `agent.mjs` runs it, `agent.mjs version` says which one it is, `agent.mjs gitssh -- …` and
 * `agent.mjs "Username for …"` serve git in the workspace (spec/05 §4).
 */
const env = process.env;
// Whoever read the diagnostics may be gone; the agent goes on without.
process.stderr.on('error', () => undefined);
const log = createLog((line) => void process.stderr.write(line));

async function serve(): Promise<number> {
  const settings = readSettings(env);
  const home = env['HOME'] || homedir();
  const dataDir = settings.dataDir || defaultDataDir(home);
  const binDir = join(dataDir, 'bin');
  const own = [process.execPath, ...process.execArgv, fileURLToPath(import.meta.url)];
  const token = createTokenSource(settings, defaultTimes.request);
  const client = createServerClient({ url: settings.url, token, timeoutMs: defaultTimes.request, log });
  const executable = writeExecutable(binDir, own, process.platform);
  const agent = createAgent({
    settings,
    times: defaultTimes,
    client,
    token,
    log,
    version,
    home,
    processEnv: env,
    dataDir,
    binDir,
    executable,
  });
  let asked = false;
  for (const name of ['SIGTERM', 'SIGINT'] as const)
    process.on(name, () => {
      // Whoever asks twice does not want to wait for the scripts.
      if (asked) process.exit(1);
      asked = true;
      log.info(`${name}: shutting down`);
      void agent.shutdown();
    });
  log.info(`agent ${version} for ${settings.url}`);
  return agent.run();
}

async function main([command = '', ...args]: readonly string[]): Promise<number> {
  if (command === 'version' || command === '--version') {
    process.stdout.write(`${version}\n`);
    return 0;
  }
  if (command === '' || command === 'agent') return serve();
  const access = { url: (env['CODER_AGENT_URL'] ?? '').replace(/\/+$/, ''), token: env['CODER_AGENT_TOKEN'] ?? '' };
  const git = await import('./git-credentials.ts');
  if (command === 'gitssh') return git.runSsh(args[0] === '--' ? args.slice(1) : args, access, env);
  return git.answerPrompt(command, access, {
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
  });
}

try {
  process.exit(await main(process.argv.slice(2)));
} catch (err) {
  log.warn(messageOf(err));
  process.exit(1);
}
