/** When memory or a disk of a workspace counts as full. Pure; the caller locks the rows. Source: spec/05 §12. */
export type MonitorState = 'OK' | 'NOK';
export type PointState = MonitorState | 'unknown';

export interface MonitorRules {
  /** Share of all points, in percent, that the longest run of full ones must reach. */
  readonly consecutivePercent: number;
  /** The same for full points anywhere. With these defaults it subsumes the first; kept because both are settings. */
  readonly minimumPercent: number;
  /** After a message none for this long. */
  readonly debounceMs: number;
}
export const monitorRules: MonitorRules = {
  consecutivePercent: 50,
  minimumPercent: 20,
  debounceMs: 30 * 60_000,
};

/** What agents are told to collect: points in the ring they send, and the seconds between two. */
export const monitoringConfig = { num_datapoints: 20, collection_interval_seconds: 10 } as const;

export interface Usage {
  readonly used?: number | null | undefined;
  readonly total?: number | null | undefined;
}

/** One point: whole percent of the total against the threshold. Nothing measured, or no total, says nothing. */
export function pointState(usage: Usage | null | undefined, threshold: number): PointState {
  const { used, total } = usage ?? {};
  if (used === undefined || used === null || total === undefined || total === null || total <= 0) return 'unknown';
  // Multiplied first: 29 of 100 is 28.999… the other way round.
  return Math.floor((used * 100) / total) < threshold ? 'OK' : 'NOK';
}

const percent = (part: number, whole: number): number => Math.round((part * 100) / whole);

function longestRun(points: readonly PointState[]): number {
  let longest = 0;
  let run = 0;
  for (const point of points) {
    run = point === 'NOK' ? run + 1 : 0;
    longest = Math.max(longest, run);
  }
  return longest;
}

/** NOK at enough full points, OK when every single one is, else what it was; no points say nothing. */
export function nextMonitorState(
  state: MonitorState,
  points: readonly PointState[],
  rules: MonitorRules = monitorRules,
): MonitorState {
  if (points.length === 0) return state;
  const full = points.filter((point) => point === 'NOK').length;
  if (percent(longestRun(points), points.length) >= rules.consecutivePercent) return 'NOK';
  if (percent(full, points.length) >= rules.minimumPercent) return 'NOK';
  return points.every((point) => point === 'OK') ? 'OK' : state;
}

export interface Monitor {
  readonly state: MonitorState;
  readonly debouncedUntil: Date | null;
}
export interface MonitorStep {
  readonly state: MonitorState;
  readonly debouncedUntil: Date | null;
  readonly notify: boolean;
}

/** A monitor after a report. It tells its owner when it turns NOK, but not again soon after the last time. */
export function nextMonitor(
  monitor: Monitor,
  points: readonly PointState[],
  now: Date,
  rules: MonitorRules = monitorRules,
): MonitorStep {
  const state = nextMonitorState(monitor.state, points, rules);
  const { debouncedUntil } = monitor;
  const crossed = monitor.state === 'OK' && state === 'NOK';
  if (!crossed || (debouncedUntil !== null && now <= debouncedUntil)) return { state, debouncedUntil, notify: false };
  return { state, debouncedUntil: new Date(now.getTime() + rules.debounceMs), notify: true };
}
