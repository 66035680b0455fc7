import { setTimeout as delay, setImmediate as immediate } from 'node:timers/promises';
import { fitLogLines } from '../domain/job-logs.ts';
import type { JobLogLine } from '../domain/provisioned.ts';
import type { Db } from '../db/client.ts';
import { type LogPosition, appendJobLogs } from '../db/queries/job-logs.ts';
import { splitLogLine } from '../terraform/output.ts';
import type { Redactor } from '../terraform/secrets.ts';

const flushEveryMs = 250;
const flushAtLines = 100;
/** Lines kept in memory while the database is slow or away; beyond it the reader waits. */
const maxBufferedLines = 5_000;
const yieldAtLines = 500;
const retryAfterMs = 500;

export interface JobLog {
  /** Starts a stage: a row with empty output. Later lines belong to it. */
  stage(name: string): void;
  /** Goes on with a stage that another worker has begun. */
  resumeStage(name: string): void;
  /** Later positions belong to this run of Terraform; `unsettled` is asked before each write. */
  follow(position: LogPosition, unsettled?: () => readonly string[]): void;
  /**
   * Adds lines that are masked already; they are split here. `read` is the end of what they were made of. Resolves when the
   * buffer has room again.
   */
  add(
    lines: readonly JobLogLine[],
    read?: { readonly stream: 'stdout' | 'stderr'; readonly end: number },
  ): Promise<void>;
  currentStage(): string;
  /** One line of our own. */
  say(level: JobLogLine['level'], output: string): void;
  /** After the cap nothing is stored: lines need not be made. */
  overflowed(): boolean;
  /** Writes what is left. Rejects when the database is away. */
  flush(): Promise<void>;
}

/**
 * The log of one attempt: batches every 250 ms or 100 lines, one fenced statement each, together with how far Terraform's
 * output was read and what it makes just now. The cap of 1 MiB never fails or slows the run. `onFenced` is called once when
 * the attempt lost its right to write. Source: spec/02 §1.6.
 */
export function createJobLog(options: {
  db: Db;
  jobId: string;
  attempt: number;
  length: number;
  overflowed: boolean;
  /** Where an earlier attempt had come to; default nowhere. */
  position?: LogPosition;
  redactor: Redactor;
  onFenced: () => void;
}): JobLog {
  const { db, jobId, attempt, redactor } = options;
  let state = { length: options.length, overflowed: options.overflowed };
  let stage = 'Setting up';
  let buffer: JobLogLine[] = [];
  let position = options.position ?? { run: 0, stdout: 0, stderr: 0 };
  let unsettled: (() => readonly string[]) | undefined;
  let writtenUnsettled = '';
  let timer: NodeJS.Timeout | undefined;
  /** The last write that was asked for, and when it will begin; it takes everything that is there by then. */
  let writing: Promise<void> = Promise.resolve();
  let turn: Promise<unknown> | undefined;
  let fenced = false;

  const write = async () => {
    turn = undefined;
    clearTimeout(timer);
    timer = undefined;
    const now = unsettled?.() ?? null;
    const changed = now !== null && now.join('\n') !== writtenUnsettled;
    if (fenced || (buffer.length === 0 && !changed)) return;
    const lines = buffer;
    buffer = [];
    const { kept, ...after } = fitLogLines(state, lines);
    if (kept.length > 0 || after.length !== state.length || changed) {
      const batch = { jobId, attempt, lines: kept, ...after, position, unsettled: changed ? now : null };
      try {
        if (!(await appendJobLogs(db, batch))) {
          fenced = true;
          options.onFenced();
          return;
        }
      } catch (err) {
        // The database is away: keep the lines, the next flush writes them in order.
        buffer = [...lines, ...buffer];
        throw err;
      }
      if (changed) writtenUnsettled = now.join('\n');
    }
    state = after;
  };
  const enqueue = () => {
    if (turn !== undefined) return writing;
    turn = writing.catch(() => delay(retryAfterMs));
    writing = turn.then(write);
    return writing;
  };
  const schedule = () => {
    if (buffer.length >= flushAtLines) void enqueue().catch(() => undefined);
    else timer ??= setTimeout(() => void enqueue().catch(() => undefined), flushEveryMs);
  };
  const push = (lines: readonly JobLogLine[]) => {
    for (const line of lines) {
      const pieces = splitLogLine(line.output);
      if (pieces.length === 1) buffer.push(line);
      else for (const output of pieces) buffer.push({ ...line, output });
    }
    schedule();
  };
  return {
    stage(name) {
      stage = name;
      push([{ source: 'provisioner_daemon', level: 'info', stage, output: '', createdAt: new Date() }]);
    },
    resumeStage(name) {
      stage = name;
    },
    follow(from, next) {
      position = from;
      unsettled = next;
      writtenUnsettled = '';
    },
    currentStage: () => stage,
    say: (level, output) =>
      push([{ source: 'provisioner_daemon', level, stage, output: redactor.redact(output), createdAt: new Date() }]),
    overflowed: () => state.overflowed,
    async add(lines, read) {
      if (read !== undefined) position = { ...position, [read.stream]: read.end };
      if (state.overflowed) return schedule();
      push(lines);
      // Otherwise a flood of lines keeps the database's answers waiting, and the next batch with them.
      if (buffer.length % yieldAtLines === 0) await immediate();
      if (buffer.length >= maxBufferedLines) await turn;
    },
    flush: enqueue,
  };
}
