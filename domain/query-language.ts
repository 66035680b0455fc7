import { invalidField } from './errors.ts';

export interface ParsedSearch {
  /** Key → its values in the order given; keys with `param:`-like prefixes keep the rest of the key. */
  readonly terms: ReadonlyMap<string, readonly string[]>;
  /** Terms without a key, joined with one space. */
  readonly free: string;
}

interface Token {
  readonly text: string;
  /** Positions of colons outside quotes. */
  readonly colons: readonly number[];
}

/** Splits at spaces outside double quotes; the quotes themselves disappear. */
function tokenize(query: string): Token[] {
  const tokens: Token[] = [];
  let text = '';
  let colons: number[] = [];
  let quoted = false;
  let started = false;
  const finish = () => {
    if (started) tokens.push({ text, colons });
    text = '';
    colons = [];
    started = false;
  };
  for (const char of query) {
    if (char === '"') {
      quoted = !quoted;
      started = true;
    } else if (char === ' ' && !quoted) finish();
    else {
      if (char === ':' && !quoted) colons.push(text.length);
      text += char;
      started = true;
    }
  }
  if (quoted) throw invalidField('q', 'a quotation mark is not closed');
  finish();
  return tokens;
}

/**
 * Parses the search language of all lists (spec/06 §1.3): `key:value` terms, quotes keep spaces and colons, everything
 * is lower-cased, the other words are one free term. `multiple` keys may come more than once; `prefixes` are keys that
 * carry a name themselves (`param:<name>=<value>`). Throws INVALID_INPUT naming `q` or the unknown key.
 */
export function parseSearch(
  query: string,
  allowedKeys: readonly string[],
  options: { multiple?: readonly string[]; prefixes?: readonly string[] } = {},
): ParsedSearch {
  const terms = new Map<string, string[]>();
  const free: string[] = [];
  for (const { text, colons } of tokenize(query.toLowerCase())) {
    const [colon] = colons;
    if (colon === undefined) {
      if (text !== '') free.push(text);
      continue;
    }
    if (colon === 0 || colons.at(-1) === text.length - 1)
      throw invalidField('q', `"${text}" must not start or end with a colon`);
    if (colons.length > 1) throw invalidField('q', `"${text}" has more than one colon; put the value into quotes`);
    const key = text.slice(0, colon);
    const known = allowedKeys.includes(key) || options.prefixes?.includes(key);
    if (!known) throw invalidField(key, `"${key}" is not a valid search key`);
    const values = terms.get(key) ?? [];
    const repeatable = options.multiple?.includes(key) === true || options.prefixes?.includes(key) === true;
    if (values.length > 0 && !repeatable) throw invalidField(key, `"${key}" may be given only once`);
    terms.set(key, [...values, text.slice(colon + 1)]);
  }
  return { terms, free: free.join(' ') };
}

/** Values of a key as the typed things that lists filter by; each throws INVALID_INPUT naming the key. */
export function searchTerms(search: ParsedSearch) {
  const one = (key: string): string | undefined => search.terms.get(key)?.[0];
  return {
    text: one,
    /** Comma list, also spread over several terms. */
    list: (key: string): string[] | undefined => search.terms.get(key)?.flatMap((value) => value.split(',')),
    boolean(key: string): boolean | undefined {
      const value = one(key);
      if (value === undefined) return undefined;
      if (value === 'true' || value === '1' || value === 't') return true;
      if (value === 'false' || value === '0' || value === 'f') return false;
      throw invalidField(key, `"${value}" is not a boolean: use true or false`);
    },
    /** One of the values, or a comma list of them. */
    oneOf<const T extends string>(key: string, allowed: readonly T[]): T[] | undefined {
      return this.list(key)?.map((value) => {
        const match = allowed.find((each) => each.toLowerCase() === value);
        if (match === undefined) throw invalidField(key, `"${value}" is not one of: ${allowed.join(', ')}`);
        return match;
      });
    },
    /** RFC 3339 instant. */
    instant(key: string): Date | undefined {
      const value = one(key);
      if (value === undefined) return undefined;
      const parsed = /^\d{4}-\d\d-\d\dt\d\d:\d\d:\d\d(\.\d+)?(z|[+-]\d\d:\d\d)$/.test(value)
        ? new Date(value.toUpperCase())
        : undefined;
      if (parsed === undefined || Number.isNaN(parsed.getTime()))
        throw invalidField(key, `"${value}" is not a time like 2024-01-31T12:00:00Z`);
      return parsed;
    },
    /** Calendar day as its first (or last) instant in UTC. */
    day(key: string, edge: 'start' | 'end'): Date | undefined {
      const value = one(key);
      if (value === undefined) return undefined;
      const start = /^\d{4}-\d\d-\d\d$/.test(value) ? new Date(`${value}T00:00:00.000Z`) : undefined;
      if (start === undefined || Number.isNaN(start.getTime()) || start.toISOString().slice(0, 10) !== value)
        throw invalidField(key, `"${value}" is not a day like 2024-01-31`);
      return edge === 'start' ? start : new Date(`${value}T23:59:59.999Z`);
    },
  };
}
