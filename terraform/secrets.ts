import { isObject, objectOf } from './json.ts';

/** Shorter strings would redact ordinary words (spec/02 §5.6). */
const minLength = 6;
const replacement = '[redacted]';

/** String leaves of `values` that `mask` marks: `true` = everything below, else followed key by key. */
export function* sensitiveValues(values: unknown, mask: unknown): Generator<string> {
  if (mask === true) yield* stringLeaves(values);
  else if (Array.isArray(mask) && Array.isArray(values))
    for (const [i, item] of values.entries()) yield* sensitiveValues(item, mask[i]);
  else if (isObject(mask))
    for (const [key, inner] of Object.entries(mask)) yield* sensitiveValues(objectOf(values)[key], inner);
}

export function* stringLeaves(value: unknown): Generator<string> {
  if (typeof value === 'string') yield value;
  else if (typeof value === 'object' && value !== null)
    for (const item of Object.values(value)) yield* stringLeaves(item);
}

/** How a secret may appear in a line: itself, each of its lines, and both as a JSON string writes them. */
function* spellings(secret: string): Generator<string> {
  yield secret;
  const escaped = JSON.stringify(secret).slice(1, -1);
  if (escaped !== secret) yield escaped;
  // Go's encoder, which Terraform and providers use, also escapes these three.
  const goEscaped = escaped.replaceAll('&', '\\u0026').replaceAll('<', '\\u003c').replaceAll('>', '\\u003e');
  if (goEscaped !== escaped) yield goEscaped;
  if (/[\r\n]/.test(secret))
    for (const line of secret.split(/[\r\n]+/)) if (line.trim().length >= minLength) yield* spellings(line.trim());
}

export interface Redactor {
  /** Secrets that became known later, e.g. tokens from a state. Shorter than 6 characters: ignored. */
  readonly add: (secrets: Iterable<string>) => void;
  /** What was added so far, for a worker that takes over. */
  readonly added: () => readonly string[];
  readonly redact: (text: string) => string;
}

/**
 * Masks every occurrence of a secret. Candidates are found by their first six characters in a map, so that the cost of a
 * line does not grow with the number of secrets; overlapping occurrences are masked as one.
 */
export function createRedactor(secrets: Iterable<string> = []): Redactor {
  const byPrefix = new Map<string, string[]>();
  const added: string[] = [];
  const known = new Set<string>();
  /** First characters of all secrets: most positions of a line are dismissed by this look-up alone. */
  const starts = new Set<number>();

  const add = (more: Iterable<string>): void => {
    for (const secret of more) {
      if (secret.length < minLength || known.has(secret)) continue;
      added.push(secret);
      for (const spelling of spellings(secret)) {
        if (known.has(spelling)) continue;
        known.add(spelling);
        starts.add(spelling.charCodeAt(0));
        const prefix = spelling.slice(0, minLength);
        const others = byPrefix.get(prefix);
        if (others) others.push(spelling);
        else byPrefix.set(prefix, [spelling]);
      }
    }
  };

  /** End of the longest secret that begins at `at`, or -1. */
  const matchEnd = (text: string, at: number): number => {
    if (!starts.has(text.charCodeAt(at))) return -1;
    let end = -1;
    for (const secret of byPrefix.get(text.slice(at, at + minLength)) ?? [])
      if (at + secret.length > end && text.startsWith(secret, at)) end = at + secret.length;
    return end;
  };

  const redact = (text: string): string => {
    if (known.size === 0 || text.length < minLength) return text;
    let result = '';
    let copied = 0;
    let maskedUntil = -1;
    for (let at = 0; at < text.length; at++) {
      const end = matchEnd(text, at);
      if (end > maskedUntil) {
        if (at > maskedUntil) {
          result += text.slice(copied, at) + replacement;
        }
        maskedUntil = end;
        copied = end;
      }
    }
    return copied === 0 ? text : result + text.slice(copied);
  };

  add(secrets);
  return { add, added: () => added, redact };
}
