import { DomainError, invalidField } from './errors.ts';

/** Lines that agents send: cleaned, split and clamped before they are counted. Source: spec/05 §8. */
export const logLevels = ['trace', 'debug', 'info', 'warn', 'error'] as const;
export type AgentLogLevel = (typeof logLevels)[number];

export const maxLogLine = 1_024;
export const maxLogEntries = 1_000;
/** Stored bytes per agent; what follows is not kept. */
export const maxLogBytes = 1_048_576;
const pastMs = 3_600_000;

export interface ReportedLine {
  readonly createdAt: Date | null;
  readonly level: string;
  readonly output: string;
}

export interface AgentLogLine {
  readonly createdAt: Date;
  readonly level: AgentLogLevel;
  readonly output: string;
}

const isLevel = (text: string): text is AgentLogLevel => (logLevels as readonly string[]).includes(text);

/**
 * What is stored of a batch: NUL removed, half characters replaced, long lines in several rows, the agent's time within the last
 * hour. Throws INVALID_INPUT.
 */
export function planLogLines(reported: readonly ReportedLine[], receivedAt: Date): AgentLogLine[] {
  if (reported.length === 0) throw invalidField('logs', 'at least one line is needed');
  if (reported.length > maxLogEntries) throw invalidField('logs', `at most ${maxLogEntries} lines at once`);
  return reported.flatMap((line, index) => {
    const level = line.level === '' ? 'info' : line.level;
    if (!isLevel(level)) throw invalidField(`logs[${index}].level`, `must be one of ${logLevels.join(', ')}`);
    const createdAt = clamp(line.createdAt ?? receivedAt, receivedAt);
    return pieces(line.output.replaceAll('\0', '').toWellFormed()).map((output) => ({ createdAt, level, output }));
  });
}

const clamp = (instant: Date, receivedAt: Date): Date => {
  const now = receivedAt.getTime();
  return new Date(Math.min(Math.max(instant.getTime(), now - pastMs), now));
};

/** Pieces of at most `maxLogLine` characters, as PostgreSQL counts them; an empty line stays one. */
function pieces(text: string): string[] {
  if (text.length <= maxLogLine) return [text];
  const characters = Array.from(text);
  return Array.from({ length: Math.ceil(characters.length / maxLogLine) }, (_, index) =>
    characters.slice(index * maxLogLine, (index + 1) * maxLogLine).join(''),
  );
}

export const logLimitReached = (): DomainError => new DomainError('TOO_LARGE', 'Logs limit exceeded');

/** Last line of a truncated log in plain text: the limit is not a failure of any script. */
export const truncatedNotice =
  '--- The log limit of 1 MiB is reached: later lines are not kept here. The scripts run on; see their log files. ---';
