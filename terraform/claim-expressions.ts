import type { HclBody } from './hcl.ts';
import { type Reference, changingCallsIn, referencesIn, textsOf } from './hcl-references.ts';
import { type JsonObject, isObject, objectAt } from './json.ts';

/** A reference that an expression makes, or seems to make. */
export interface Mention {
  readonly names: Reference;
  /** From Terraform's own reading. What was only found in a text may be no reference at all. */
  readonly certain: boolean;
}

export const mentionsInText = (text: string): Mention[] => [
  ...referencesIn(text).map((names) => ({ names, certain: false })),
  ...changingCallsIn(text).map((call) => ({ names: [call], certain: true })),
];

/** `a.b.c, a.b, a` stands for `a.b.c` alone: Terraform lists every reference with what it begins with. */
export const mentionsInList = (references: readonly string[]): Mention[] =>
  references
    .filter((reference, i) => !isBeginning(reference, references[i - 1] ?? ''))
    .map((reference) => ({ names: referencesIn(reference)[0] ?? [], certain: true }));

const isBeginning = (short: string, long: string): boolean =>
  long.startsWith(`${short}.`) || long.startsWith(`${short}[`);

/** Below `expressions`: references, constants, blocks, lists of blocks. */
function* mentionsInJson(expression: unknown): Generator<Mention> {
  if (Array.isArray(expression)) for (const item of expression) yield* mentionsInJson(item);
  else if (isObject(expression)) {
    for (const [key, value] of Object.entries(expression)) {
      if (key === 'references' && isTexts(value)) yield* mentionsInList(value);
      else if (key !== 'constant_value') yield* mentionsInJson(value);
    }
  }
}

const isTexts = (value: unknown): value is readonly string[] =>
  Array.isArray(value) && value.every((item) => typeof item === 'string');

/**
 * What each argument or nested block of a block refers to: from the plan's JSON, and from the source, because the JSON holds
 * neither `dynamic` blocks nor calls of functions. `count` and `for_each` are among them.
 */
export function argumentsOf(config: JsonObject, bodies: readonly HclBody[]): ReadonlyMap<string, readonly Mention[]> {
  const found = new Map<string, Mention[]>();
  const put = (name: string, mentions: Iterable<Mention>) => {
    const list = found.get(name) ?? [];
    found.set(name, list);
    for (const mention of mentions) list.push(mention);
  };
  for (const [name, expression] of Object.entries(objectAt(config, 'expressions')))
    put(name, mentionsInJson(expression));
  put('count', mentionsInJson(config['count_expression']));
  put('for_each', mentionsInJson(config['for_each_expression']));
  for (const { attributes, blocks } of bodies) {
    for (const [name, { text }] of attributes) put(name, mentionsInText(text));
    for (const { type, labels, body } of blocks)
      put(type === 'dynamic' ? (labels[0] ?? '') : type, [...textsOf(body)].flatMap(mentionsInText));
  }
  return found;
}

/** No arguments: they say whether, after what and with what a resource is, or only count while it is made. */
const metaArguments = new Set([
  'count',
  'for_each',
  'depends_on',
  'provider',
  'lifecycle',
  'provisioner',
  'connection',
]);

/**
 * The arguments that can change a resource which exists: not those in `ignore_changes`. Only whole arguments are taken from
 * there (`tags["Owner"]` excepts nothing), and only from a resource that is written in one place.
 */
export function changingArguments(config: JsonObject, bodies: readonly HclBody[]): Mention[] {
  const [text = ''] = bodies.length === 1 ? lifecycleTexts(bodies, 'ignore_changes') : [];
  if (text === 'all') return [];
  const ignored = new Set(
    text
      .replaceAll(/"(?:[^"\\]|\\.)*"/g, '""')
      .replaceAll(/^\[|\]$/g, '')
      .split(',')
      .map((item) => item.trim()),
  );
  return [...argumentsOf(config, bodies)].flatMap(([name, mentions]) =>
    metaArguments.has(name) || ignored.has(name) ? [] : mentions,
  );
}

export const replaceTriggers = (bodies: readonly HclBody[]): Mention[] =>
  lifecycleTexts(bodies, 'replace_triggered_by').flatMap(mentionsInText);

const lifecycleTexts = (bodies: readonly HclBody[], name: string): string[] =>
  bodies
    .flatMap((body) => body.blocks.filter(({ type }) => type === 'lifecycle'))
    .flatMap(({ body }) => body.attributes.get(name)?.text ?? []);
