export type Schedule =
  | { readonly kind: 'pattern'; readonly pattern: string; readonly timezone: string | undefined }
  | { readonly kind: 'every'; readonly everyMs: number };

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/**
 * `cron` of a script: six fields with seconds first, five, a descriptor (`@hourly`) or `@every 1h30m`, behind an optional
 * `CRON_TZ=`. null = never by the clock. Bad patterns are found by croner. Source: spec/05 §11.
 */
export function parseSchedule(text: string): Schedule | null {
  const [, timezone, pattern = ''] = /^\s*(?:(?:CRON_)?TZ=(\S+)\s+)?(.*?)\s*$/s.exec(text) ?? [];
  if (pattern === '') return null;
  const every = /^@every\s+((?:\d+(?:\.\d+)?(?:ms|s|m|h))+)$/.exec(pattern)?.[1];
  if (every === undefined) return { kind: 'pattern', pattern, timezone };
  let everyMs = 0;
  for (const [, amount, unit = 's'] of every.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g))
    everyMs += Number(amount) * (unitMs[unit] ?? 0);
  return { kind: 'every', everyMs: Math.max(everyMs, 1000) };
}
