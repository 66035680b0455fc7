/**
 * Visible progress of set-up: a spinner on a terminal, plain lines when piped, nothing that needs a cursor in a log file.
 */
export interface Step {
  /** What is happening right now; replaces the previous detail. */
  update(detail: string): void;
}
export interface Progress {
  /** Runs `work` as a step; `summary` makes the closing line from its result. */
  step<T>(title: string, work: (step: Step) => Promise<T>, summary?: (result: T) => string): Promise<T>;
  note(text: string): void;
  warn(text: string): void;
}
export interface ProgressOptions {
  readonly write: (text: string) => void;
  /** A terminal that understands carriage return and "erase line". */
  readonly interactive: boolean;
  /** Plain mode: a step that takes longer says so this often. */
  readonly reminderMs?: number;
}

const frames = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
const eraseLine = '\r\u001B[2K';

const seconds = (ms: number): string => (ms < 1000 ? '' : ` (${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s)`);
const shorten = (text: string, width: number): string => (text.length > width ? `${text.slice(0, width - 1)}…` : text);

export function createProgress({ write, interactive, reminderMs = 15_000 }: ProgressOptions): Progress {
  /** Steps may nest (a tool's build inside "resolve tools"); only the innermost is drawn. */
  const active: { title: string; detail: string; startedAt: number }[] = [];
  let frame = 0;
  let timer: NodeJS.Timeout | undefined;

  const draw = (): void => {
    const current = active.at(-1);
    if (!interactive || current === undefined) return;
    frame = (frame + 1) % frames.length;
    const elapsed = seconds(Date.now() - current.startedAt);
    const text = `${current.title}${current.detail === '' ? '' : `: ${current.detail}`}${elapsed}`;
    write(`${eraseLine}${frames[frame]} ${shorten(text, (process.stdout.columns || 100) - 3)}`);
  };
  const line = (text: string): void => {
    write(interactive ? `${eraseLine}${text}\n` : `${text}\n`);
    draw();
  };
  const remind = (): void => {
    const current = active.at(-1);
    if (current === undefined) return;
    if (interactive) return draw();
    const detail = current.detail === '' ? '' : `: ${shorten(current.detail, 160)}`;
    line(`… ${current.title}${detail}${seconds(Date.now() - current.startedAt)}`);
  };

  return {
    async step(title, work, summary) {
      const entry = { title, detail: '', startedAt: Date.now() };
      active.push(entry);
      draw();
      timer ??= setInterval(remind, interactive ? 100 : reminderMs);
      timer.unref();
      const close = (text: string): void => {
        active.splice(active.indexOf(entry), 1);
        if (active.length === 0) {
          clearInterval(timer);
          timer = undefined;
        }
        line(text);
      };
      try {
        const result = await work({
          update: (detail) => {
            entry.detail = detail;
            draw();
          },
        });
        const closing = summary?.(result) ?? '';
        close(`✔ ${title}${closing === '' ? '' : `: ${closing}`}${seconds(Date.now() - entry.startedAt)}`);
        return result;
      } catch (err) {
        close(`✖ ${title}`);
        throw err;
      }
    },
    note: (text) => line(`  ${text}`),
    warn: (text) => line(`! ${text}`),
  };
}

/** For tests and for callers that report by other means. */
export const silentProgress: Progress = createProgress({ write: () => undefined, interactive: false });

/** Progress on standard output, animated only on a terminal that is not CI's. */
export const terminalProgress = (ci: boolean): Progress =>
  createProgress({
    write: (text) => process.stdout.write(text),
    interactive: process.stdout.isTTY === true && !ci,
  });
