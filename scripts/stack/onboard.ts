import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Config } from '../../config.ts';
import type { Progress } from '../../toolchain/progress.ts';
import { importFirstTemplate } from './example-template.ts';
import { credentialsPath, ensureFirstUser } from './first-user.ts';
import type { FirstUser } from './first-user.ts';
import type { StackUrls } from './state.ts';

const example = resolve(dirname(fileURLToPath(import.meta.url)), '..', '..', 'examples', 'templates', 'local-process');

/** What a fresh deployment needs before the first command: a user, a session for the CLI, a template. Safe to repeat. */
export async function onboard(config: Config, urls: StackUrls, progress: Progress): Promise<FirstUser> {
  const user = await progress.step(
    'first user',
    () => ensureFirstUser(config, urls.api),
    ({ created, session }) =>
      created !== null ? `created ${created.email}` : session === null ? 'exists' : 'exists, CLI signed in',
  );
  const { session } = user;
  if (session === null) {
    progress.note('no session for the CLI: sign in with npm run berth -- login');
  } else if (existsSync(join(example, 'main.tf'))) {
    await progress.step(
      'example template',
      (step) =>
        importFirstTemplate(session, { folder: example, name: 'local-process', displayName: 'Local process' }, step),
      (name) => (name === null ? 'templates exist already' : `imported ${name}`),
    );
  }
  return user;
}

/** The closing lines of `npm run up`. */
export function banner(config: Config, urls: StackUrls, { created, session }: FirstUser): string {
  const rows: [string, string][] = [
    ['API', urls.api],
    ['API documentation', urls.docs],
    ['Temporal Web UI', urls.temporalUi ?? `of ${urls.temporalAddress} (set TEMPORAL_UI_URL to link it)`],
    ['logs', join(config.BERTH_DATA_DIR, 'logs')],
  ];
  const lines = ['', 'Berth is up.', '', ...rows.map(([name, value]) => `  ${name.padEnd(18)} ${value}`)];
  if (created !== null)
    lines.push(
      '',
      `  first user         ${created.email}`,
      `  password           ${created.password}   (shown once; kept in ${credentialsPath(config.BERTH_DATA_DIR)})`,
    );
  lines.push('', 'Next:');
  if (session === null) lines.push(`  npm run berth -- login ${urls.api}`);
  lines.push('  npm run berth -- create my-workspace --template local-process', '');
  return lines.join('\n');
}
