import type { JobLogLine, JobTiming } from '../domain/provisioned.ts';
import { type ApplyProgress, createApplyTracker } from './apply-progress.ts';
import { type JsonObject, blocksAt, isObject, objectAt, parseObject, textAt } from './json.ts';
import { type LogLevel, logLevelOf, logRows, splitLogLine } from './log-lines.ts';
import { type TerraformStage, createTimingPairs, instantOf, ordered } from './timings.ts';

export { splitLogLine } from './log-lines.ts';

export interface OutputReaderOptions {
  readonly stage: TerraformStage;
  /** Stage of the log rows, e.g. `Stopping workspace`. Default: the usual one of `stage`. */
  readonly logStage?: string;
  /** Begin of the stage's own timing row; default the first timestamp seen. */
  readonly startedAt?: Date;
  /** Masks secrets in rows and in the error text. */
  readonly redact?: (text: string) => string;
  /** Warnings that a job shows once although each plan repeats them; share one set between the readers of a job. */
  readonly shownOnce?: Set<string>;
}

export interface OutputReader {
  /**
   * One line of stdout → rows for the job log. They may be long: whoever stores them masks first and splits then
   * (`splitLogLine`), else half a secret could get through.
   */
  readonly push: (line: string) => { readonly lines: readonly JobLogLine[] };
  /** `endedAt` closes the stage's timing row; default the last timestamp seen. */
  readonly result: (endedAt?: Date) => {
    readonly timings: readonly JobTiming[];
    /** Summary, address and detail of the first error; null when there was none. */
    readonly firstError: string | null;
  };
  /** What an apply has made so far. */
  readonly progress: () => ApplyProgress;
}

const logStages: Record<TerraformStage, string> = {
  init: 'Initializing Terraform Directory',
  plan: 'Planning infrastructure',
  graph: 'Planning infrastructure',
  apply: 'Starting workspace',
};

/** Reads the `-json` output of one terraform command. Pure: instants come from the lines. Source: spec/02 §5.3. */
export function createOutputReader(options: OutputReaderOptions): OutputReader {
  const { stage, logStage = logStages[stage], redact = (text) => text, shownOnce = new Set() } = options;
  const pairs = createTimingPairs(stage);
  const tracker = createApplyTracker();
  let firstSeen = options.startedAt ?? null;
  let lastSeen = firstSeen;
  let firstError: string | null = null;

  const see = (at: Date | null): Date => {
    firstSeen ??= at;
    // Terraform's init rounds some timestamps down to seconds; rows must not run backwards.
    if (at !== null && (lastSeen === null || at > lastSeen)) lastSeen = at;
    return lastSeen ?? new Date(0);
  };
  const rows = (text: string, level: LogLevel, createdAt: Date): JobLogLine[] =>
    logRows(redact(text), { source: 'provisioner', level, stage: logStage, createdAt });

  const pushDiagnostic = (line: JsonObject, diagnostic: JsonObject, createdAt: Date): JobLogLine[] => {
    const severity = logLevelOf(diagnostic['severity'] ?? line['@level']);
    const summary = textAt(diagnostic, 'summary');
    if (severity === 'error') firstError ??= redact(errorText(diagnostic));
    if (severity === 'warn' && summary.startsWith('Deprecated Resource')) {
      const key = JSON.stringify([summary, textAt(diagnostic, 'address'), textAt(diagnostic, 'detail')]);
      if (shownOnce.has(key)) return [];
      shownOnce.add(key);
    }
    // Ordinary with a provider mirror and of no use to anybody who reads a build log.
    const level = severity === 'warn' && summary.startsWith('Incomplete lock file') ? 'debug' : severity;
    const message = textAt(line, '@message') || summary;
    const lines = [message, ...detailLines(diagnostic)].flatMap((text) => rows(text, level, createdAt));
    const advice = severity === 'error' ? adviceFor(diagnostic) : null;
    if (advice !== null)
      lines.push({ source: 'provisioner_daemon', level, stage: logStage, createdAt, output: advice });
    return lines;
  };

  return {
    push(text) {
      if (text.trim() === '') return { lines: [] };
      const line = text.startsWith('{') ? parseObject(text) : null;
      // Before it has read its options Terraform prints plain text.
      if (line === null) return { lines: rows(text, 'info', see(null)) };
      const at = instantOf(line['@timestamp']);
      const createdAt = see(at);
      const diagnostic = line['diagnostic'];
      if (line['type'] === 'diagnostic' && isObject(diagnostic))
        return { lines: pushDiagnostic(line, diagnostic, createdAt) };
      pairs.push(textAt(line, 'type'), objectAt(line, 'hook'), at);
      tracker.push(line);
      const level = logLevelOf(line['@level']);
      // Values of outputs stand in other keys of the line and are never logged.
      return {
        lines: rows(textAt(line, '@message'), stage === 'init' && level === 'info' ? 'debug' : level, createdAt),
      };
    },
    result(endedAt) {
      const end = endedAt ?? lastSeen;
      const own = stageTiming(stage, firstSeen, end);
      return { timings: [...(own === null ? [] : [own]), ...pairs.rows()], firstError };
    },
    progress: tracker.progress,
  };
}

/** The command's own row beside those of its resources (spec/02 §5.3). null when there is no time to state. */
export function stageTiming(stage: TerraformStage, startedAt: Date | null, endedAt: Date | null): JobTiming | null {
  if (startedAt === null || endedAt === null || !(startedAt.getTime() > 0) || !(endedAt.getTime() > 0)) return null;
  const times = ordered(startedAt, endedAt);
  if (stage === 'graph')
    return {
      stage,
      source: 'terraform',
      action: 'building terraform dependency graph',
      resource: 'state file',
      ...times,
    };
  return { stage, source: 'coder', action: 'terraform', resource: `coder_stage_${stage}`, ...times };
}

/** An import gives no parameter a value, so the provider validates an empty text (spec/02 §2.5). */
const adviceFor = (diagnostic: JsonObject): string | null =>
  /(^|\.)data\.coder_parameter\.[^.]+$/.test(textAt(diagnostic, 'address')) &&
  textAt(diagnostic, 'detail').includes('value ""')
    ? 'A parameter with a validation block needs a default that passes it: without one the template cannot be imported.'
    : null;

const maxErrorLength = 4096;

function errorText(diagnostic: JsonObject): string {
  const address = textAt(diagnostic, 'address');
  const detail = textAt(diagnostic, 'detail').trim();
  const text = textAt(diagnostic, 'summary') + (address && ` (${address})`) + (detail && `: ${detail}`);
  return text.length > maxErrorLength ? `${splitLogLine(text, maxErrorLength)[0]}…` : text;
}

/** Address, place, code and explanation of a diagnostic, each a row of its own. */
function* detailLines(diagnostic: JsonObject): Generator<string> {
  const address = textAt(diagnostic, 'address');
  if (address !== '') yield `with ${address},`;
  const range = objectAt(diagnostic, 'range');
  const file = textAt(range, 'filename');
  if (file !== '') yield `on ${file} line ${textAt(objectAt(range, 'start'), 'line')}`;
  const snippet = objectAt(diagnostic, 'snippet');
  const code = textAt(snippet, 'code');
  if (code !== '') yield code;
  for (const value of blocksAt(snippet, 'values')) {
    const statement = textAt(value, 'statement');
    if (statement !== '') yield `  ${textAt(value, 'traversal')} ${statement}`;
  }
  const detail = textAt(diagnostic, 'detail');
  if (detail !== '') yield detail;
}

export interface StderrOptions {
  readonly logStage?: string;
  /** Of lines that carry no timestamp; default now. */
  readonly createdAt?: Date;
  readonly redact?: (text: string) => string;
}

/**
 * One line of stderr: an error, or an entry of Terraform's own log (TF_LOG=JSON), whose trace is dropped and whose info is
 * debug here. Source: spec/02 §5.3.
 */
export function readStderrLine(text: string, options: StderrOptions = {}): JobLogLine[] {
  const { logStage = '', createdAt = new Date(), redact = (line: string) => line } = options;
  const row = { source: 'provisioner', stage: logStage } as const;
  const entry = text.startsWith('{') ? parseObject(text) : null;
  if (entry === null || typeof entry['@message'] !== 'string')
    return logRows(redact(text), { ...row, level: 'error', createdAt });
  const level = logLevelOf(entry['@level']);
  if (level === 'trace') return [];
  const at = instantOf(entry['@timestamp']) ?? createdAt;
  return logRows(redact(entry['@message']), { ...row, level: level === 'info' ? 'debug' : level, createdAt: at });
}
