import { Lexer, isAlias, isMap, isScalar, parseAllDocuments } from 'yaml';
import { invalidField } from './errors.ts';
import { secretLimits } from './user-secrets.ts';

/**
 * Secrets of a whole file: one name and one text each, a name once. No message repeats what the file contains: it may be a
 * value. Source: spec/07 §9.
 */
export const secretFileFormats = ['env', 'json', 'yaml'] as const;
export type SecretFileFormat = (typeof secretFileFormats)[number];

export interface SecretEntry {
  readonly name: string;
  readonly value: string;
}

const bad = (detail: string) => invalidField('content', detail);
const onlyTexts = () =>
  bad('must hold names with texts as values and nothing else (quote numbers and words like true)');

/** Entries in the order of the file. Throws INVALID_INPUT naming `content`. */
export function parseSecretFile(format: SecretFileFormat, content: string): SecretEntry[] {
  const text = content.replace(/^\uFEFF/, '');
  const entries = parsers[format](text);
  if (entries.length === 0) throw bad('has no secrets');
  if (entries.length > secretLimits.secretsPerUser) throw bad(`has more than ${secretLimits.secretsPerUser} secrets`);
  const seen = new Set<string>();
  for (const [index, { name }] of entries.entries()) {
    if (seen.has(name)) throw bad(`secret ${index + 1} has the name of an earlier one`);
    seen.add(name);
  }
  return entries;
}

const parsers: Record<SecretFileFormat, (text: string) => SecretEntry[]> = {
  env: parseEnv,
  json: parseJson,
  yaml: parseYaml,
};

const jsonText = String.raw`"([^"\\]*(?:\\.[^"\\]*)*)"`;

/** `JSON.parse` forgets a name that comes twice, so the flat object is read once more, pair by pair. */
function parseJson(text: string): SecretEntry[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw bad('is not valid JSON');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw bad('must be one object');
  if (Object.keys(value).length === 0) return [];
  const pair = new RegExp(String.raw`\s*${jsonText}\s*:\s*${jsonText}\s*([,}])`, 'y');
  const entries: SecretEntry[] = [];
  pair.lastIndex = text.indexOf('{') + 1;
  for (;;) {
    const match = pair.exec(text);
    if (match === null) throw onlyTexts();
    const [name, secret] = [match[1], match[2]].map((inner) => JSON.parse(`"${inner}"`) as string);
    entries.push({ name: name!, value: secret! });
    if (match[3] === '}') return entries;
  }
}

/** A file of 50 texts has a few hundred; a megabyte of brackets would keep the parser busy for seconds. */
const maxYamlTokens = 10_000;

function parseYaml(text: string): SecretEntry[] {
  let tokens = 0;
  for (const _ of new Lexer().lex(text))
    if ((tokens += 1) > maxYamlTokens) throw bad('has more structure than a file of secrets needs');
  let documents;
  try {
    // Names are compared in parseSecretFile: the library compares each with each.
    documents = parseAllDocuments(text, {
      prettyErrors: false,
      stringKeys: true,
      uniqueKeys: false,
      logLevel: 'silent',
    });
  } catch {
    // Nested so deep that the parser gave up.
    throw bad('is not valid YAML');
  }
  if (!Array.isArray(documents) || documents.length === 0) return [];
  const [document, ...others] = documents;
  if (document === undefined || others.length > 0) throw bad('must be a single YAML document');
  if (document.errors.length > 0 || document.warnings.length > 0) throw bad('is not valid YAML');
  if (document.contents === null) return [];
  if (!isMap(document.contents)) throw bad('must be one mapping of names to texts');
  return document.contents.items.map(({ key, value }) => {
    if (!isScalar(key) || typeof key.value !== 'string') throw onlyTexts();
    if (isAlias(value) || !isScalar(value) || typeof value.value !== 'string') throw onlyTexts();
    return { name: key.value, value: value.value };
  });
}

/** Not a replacement by pattern: that would look at the rest of the line again for each #. */
function withoutComment(text: string): string {
  const at = text.search(/(?:^|[ \t])#/);
  return (at === -1 ? text : text.slice(0, at)).trim();
}

const escapes: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t' };

/**
 * `NAME=value` lines, optionally after `export`. '…' is taken as it is, "…" knows \n \r \t and \ before any other
 * character, both may go over lines; unquoted text ends at the line or at ` #`. Nothing is expanded.
 */
function parseEnv(text: string): SecretEntry[] {
  const entries: SecretEntry[] = [];
  const source = text.replaceAll('\r\n', '\n');
  const line = (at: number): number => source.slice(0, at).split('\n').length;
  const start = /(?:[ \t]*(?:#[^\n]*)?\n)*[ \t]*(?:#[^\n]*$)?/y;
  const assignment = /(?:export[ \t]+)?([^\s=#'"]+)[ \t]*=[ \t]*/y;
  const single = /'([^']*)'/y;
  const double = /"([^"\\]*(?:\\[\s\S][^"\\]*)*)"/y;
  const rest = /[ \t]*(?:#[^\n]*)?(?:\n|$)/y;
  const plain = /[^\n]*/y;
  for (let at = 0; ;) {
    const take = (pattern: RegExp): RegExpExecArray | null => {
      pattern.lastIndex = at;
      const match = pattern.exec(source);
      if (match !== null) at = pattern.lastIndex;
      return match;
    };
    take(start);
    if (at >= source.length) return entries;
    const name = take(assignment)?.[1];
    if (name === undefined) throw bad(`line ${line(at)} is not NAME=value`);
    const begin = at;
    const quoted = take(single)?.[1] ?? take(double)?.[1]?.replaceAll(/\\([\s\S])/g, (_, c: string) => escapes[c] ?? c);
    if (quoted === undefined && /['"]/.test(source[at] ?? ''))
      throw bad(`line ${line(begin)} has a quote without its end`);
    const value = quoted ?? withoutComment(take(plain)![0]);
    if (take(rest) === null) throw bad(`line ${line(begin)} goes on after the closing quote`);
    entries.push({ name, value });
    if (entries.length > secretLimits.secretsPerUser) return entries;
  }
}
