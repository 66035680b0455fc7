import { fitLogLines } from '../domain/job-logs.ts';
import type { JobLogLine } from '../domain/provisioned.ts';
import type { Db } from '../db/client.ts';
import { appendJobLogs } from '../db/queries/job-logs.ts';
import { splitLogLine } from '../terraform/output.ts';
import type { Redactor } from '../terraform/secrets.ts';

const flushEveryMs = 250;
const flushAtLines = 100;
/** Lines kept in memory while the database is slow or away; beyond it the reader waits. */
const maxBufferedLines = 5_000;

export interface JobLog {
  /** Starts a stage: a row with empty output. Later lines belong to it. */
  stage(name: string): void;
  /** Adds lines that are masked already; they are split here. Resolves when the buffer has room again. */
  add(lines: readonly JobLogLine[], logOffset?: number): Promise<void>;
  currentStage(): string;
  /** One line of our own. */
  say(level: JobLogLine['level'], output: string): void;
  /** Writes what is left. Rejects when the attempt is fenced. */
  flush(): Promise<void>;
}

/**
 * The log of one attempt: batches every 250 ms or 100 lines, one fenced statement each. The cap of 1 MiB never fails or
 * slows the run. `onFenced` is called once when the attempt lost its right to write. Source: spec/02 §1.6.
 */
export function createJobLog(options: {
  db: Db;
  jobId: string;
  attempt: number;
  length: number;
  overflowed: boolean;
  redactor: Redactor;
  onFenced: () => void;
}): JobLog {
  const { db, jobId, attempt, redactor } = options;
  let state = { length: options.length, overflowed: options.overflowed };
  let stage = 'Setting up';
  let buffer: JobLogLine[] = [];
  let offset = 0;
  let timer: NodeJS.Timeout | undefined;
  let writing: Promise<void> = Promise.resolve();
  let fenced = false;

  const write = async () => {
    clearTimeout(timer);
    timer = undefined;
    if (fenced || (buffer.length === 0 && state.overflowed)) return;
    const lines = buffer;
    buffer = [];
    if (lines.length === 0) return;
    const fitted = fitLogLines(state, lines);
    if (fitted.kept.length > 0 || fitted.length !== state.length) {
      const { kept, length, overflowed } = fitted;
      try {
        if (!(await appendJobLogs(db, { jobId, attempt, lines: kept, length, overflowed, logOffset: offset }))) {
          fenced = true;
          options.onFenced();
          return;
        }
      } catch (err) {
        // The database is away: keep the lines, the next flush writes them in order.
        buffer = [...lines, ...buffer];
        throw err;
      }
    }
    state = { length: fitted.length, overflowed: fitted.overflowed };
  };
  const enqueue = () => {
    writing = writing.catch(() => undefined).then(write);
    return writing;
  };
  const push = (lines: readonly JobLogLine[]) => {
    for (const line of lines) for (const output of splitLogLine(line.output)) buffer.push({ ...line, output });
    if (buffer.length >= flushAtLines) void enqueue().catch(() => undefined);
    else timer ??= setTimeout(() => void enqueue().catch(() => undefined), flushEveryMs);
  };
  return {
    stage(name) {
      stage = name;
      push([{ source: 'provisioner_daemon', level: 'info', stage, output: '', createdAt: new Date() }]);
    },
    currentStage: () => stage,
    say: (level, output) =>
      push([{ source: 'provisioner_daemon', level, stage, output: redactor.redact(output), createdAt: new Date() }]),
    async add(lines, logOffset) {
      if (logOffset !== undefined) offset = logOffset;
      // After the cap nothing is stored: do not even mask the lines.
      if (state.overflowed) return;
      push(lines);
      if (buffer.length >= maxBufferedLines) await enqueue().catch(() => new Promise((done) => setTimeout(done, 500)));
    },
    async flush() {
      clearTimeout(timer);
      timer = undefined;
      await enqueue();
    },
  };
}
