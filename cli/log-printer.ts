import { duration } from './format.ts';
import type { Colors } from './output.ts';
import type { JobLog } from './types.ts';

export interface LogPrinter {
  print(log: JobLog): void;
  /** Closes the last stage. `endedAt`: when the job ended, if it has. */
  close(endedAt?: string): void;
  /** Stages that have ended, with their durations. */
  readonly stages: readonly { readonly stage: string; readonly ms: number }[];
  readonly current: string | undefined;
}

/** Rows as text: a heading per stage, its lines indented, its duration when it is over. */
export function createLogPrinter(line: (text: string) => void, colors: Colors): LogPrinter {
  let current: { stage: string; since: number } | undefined;
  let last = 0;
  const stages: { stage: string; ms: number }[] = [];
  const endStage = (at: number): void => {
    if (current === undefined) return;
    const ms = Math.max(0, at - current.since);
    stages.push({ stage: current.stage, ms });
    line(colors.dim(`    done in ${duration(ms)}`));
    current = undefined;
  };
  return {
    stages,
    get current() {
      return current?.stage;
    },
    print(log) {
      const at = Date.parse(log.created_at);
      last = at;
      if (log.stage !== '' && log.stage !== current?.stage) {
        endStage(at);
        current = { stage: log.stage, since: at };
        line(colors.bold(`==> ${log.stage}`));
      }
      if (log.output !== '') line(`    ${paint(log.log_level, log.output, colors)}`);
    },
    close: (endedAt) => endStage(endedAt === undefined ? last : Date.parse(endedAt)),
  };
}

/** A line in the colour of its level. */
export function paint(level: JobLog['log_level'], output: string, colors: Colors): string {
  switch (level) {
    case 'error':
      return colors.red(output);
    case 'warn':
      return colors.yellow(output);
    case 'debug':
    case 'trace':
      return colors.dim(output);
    case 'info':
      return output;
  }
}
