import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';
import type { CliContext } from './context.ts';
import { CliError, exitCodes, usageError } from './errors.ts';

type Asking = Pick<CliContext, 'output' | 'stdin'>;

/** A line from the terminal; a secret one is not shown. Throws CliError (usage) when nobody is there to ask. */
export async function ask(
  { output, stdin }: Asking,
  question: string,
  options: { readonly secret?: boolean; readonly instead: string },
): Promise<string> {
  if (!output.interactive) throw usageError(`${question} is needed, and there is no terminal to ask`, options.instead);
  let muted = false;
  const screen = new Writable({
    write(chunk: Buffer, _encoding, done) {
      if (!muted) process.stderr.write(chunk);
      done();
    },
  });
  const lines = createInterface({ input: stdin, output: screen, terminal: true });
  const interrupted = new Promise<never>((_, reject) => {
    const stop = (): void => reject(new CliError('Nothing was done', { exitCode: exitCodes.interrupted }));
    lines.once('SIGINT', stop);
  });
  try {
    const answer = lines.question(`${question}: `);
    muted = options.secret === true;
    return (await Promise.race([answer, interrupted])).trim();
  } finally {
    lines.close();
    if (options.secret === true) process.stderr.write('\n');
  }
}

/** Yes by default only when there is nobody to ask: scripts say what they mean by calling the command. */
export async function confirm(asking: Asking, question: string): Promise<boolean> {
  if (!asking.output.interactive) return true;
  const answer = await ask(asking, `${question} (y/N)`, { instead: '--yes' });
  return /^y(es)?$/i.test(answer);
}

/** Everything on standard input, without the newline at its end. */
export async function readAll(stdin: NodeJS.ReadableStream): Promise<string> {
  let text = '';
  for await (const chunk of stdin) text += String(chunk);
  return text.replace(/\r?\n$/, '');
}
