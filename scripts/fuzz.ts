import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { loadConfig } from '../config.ts';
import { SetupFailure, describeFailure } from '../toolchain/failure.ts';
import { withThrowawayStack } from './stack/throwaway.ts';

/**
 * `npm run fuzz [-- --examples N] [--seconds S]`: schemathesis against the OpenAPI document of a running stack, as the first
 * user. Fails when any answer is a server error. Needs Python 3 with venv; the tool is installed into the tools directory.
 */
const schemathesisVersion = '4.32.5';
const { values } = parseArgs({
  options: { examples: { type: 'string', default: '20' }, seconds: { type: 'string', default: '300' } },
});
const config = loadConfig();

function installed(): string {
  const home = join(config.BERTH_TOOLS_DIR, `schemathesis-${schemathesisVersion}`);
  const binary = join(home, 'bin', 'schemathesis');
  if (existsSync(binary)) return binary;
  const run = (command: string, args: string[]) => {
    const { status } = spawnSync(command, args, { stdio: ['ignore', 'ignore', 'inherit'] });
    if (status !== 0)
      throw new SetupFailure(`${command} ${args.join(' ')} failed`, 'install Python 3 with its venv module');
  };
  run('python3', ['-m', 'venv', home]);
  run(join(home, 'bin', 'pip'), ['install', '--quiet', `schemathesis==${schemathesisVersion}`]);
  return binary;
}

try {
  const schemathesis = installed();
  let failed = true;
  await withThrowawayStack(async (stack) => {
    const { status } = spawnSync(
      schemathesis,
      [
        'run',
        `${stack.urls.api}/api/v2/openapi.json`,
        '--url',
        stack.urls.api,
        '--checks',
        'not_a_server_error',
        '--max-examples',
        values.examples,
        '--max-time',
        values.seconds,
        '--suppress-health-check',
        'all',
        '-H',
        `Coder-Session-Token: ${stack.session.token}`,
        // They end the session that the run needs, never end themselves, or take an archive that cannot be made up.
        '--exclude-path-regex',
        'logout|/watch|/users/first|/users/login|v2/files$',
      ],
      { stdio: 'inherit' },
    );
    failed = status !== 0;
  });
  process.exit(failed ? 1 : 0);
} catch (err) {
  console.error(describeFailure(err));
  process.exit(1);
}
