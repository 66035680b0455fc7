import { appendFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

/**
 * A process for supervisor tests: notes its start and its orderly end in a file. Arguments: file, name, then `stubborn` to
 * ignore SIGTERM or `exit:<ms>` to end by itself.
 */
const [file = '', name = '', mode = ''] = process.argv.slice(2);
const note = (what: string): void => appendFileSync(file, `${what} ${name} ${process.pid}\n`);

process.on('SIGTERM', () => {
  if (mode === 'stubborn') return;
  note('stop');
  process.exit(0);
});
note('start');
if (mode.startsWith('exit:')) {
  await delay(Number(mode.slice('exit:'.length)));
  process.exit(7);
}
setInterval(() => undefined, 60_000);
