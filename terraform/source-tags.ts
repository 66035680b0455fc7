import { type HclBlock, HclError, parseHcl } from './hcl.ts';

/** Names and values that a tag may refer to before anything was planned. */
interface Known {
  readonly variables: ReadonlyMap<string, string>;
  readonly parameters: ReadonlyMap<string, string>;
}

/**
 * Tags that the root module's `coder_workspace_tags` gives a version's import job: literals, variables, defaults of
 * parameters, and texts of them. What needs a function is left out: the import then runs on the pool of the other tags,
 * and the plan evaluates all of them for the builds. Throws nothing; a file that cannot be read gives no tags.
 * Source: spec/02 §1.4, §2.3.
 */
export function readTagDefaults(
  files: ReadonlyMap<string, string>,
  variableValues: ReadonlyMap<string, string>,
): Record<string, string> {
  const blocks = [...files].filter(([file]) => file.endsWith('.tf')).flatMap(([, text]) => readBlocks(text));
  const known: Known = {
    variables: new Map([...defaultsOf(blocks.filter(({ type }) => type === 'variable')), ...variableValues]),
    parameters: defaultsOf(
      dataOf(blocks, 'coder_parameter').map((block) => ({ ...block, labels: block.labels.slice(1) })),
    ),
  };
  const tags: Record<string, string> = {};
  for (const { body } of dataOf(blocks, 'coder_workspace_tags'))
    for (const [key, expression] of entriesOf(body.attributes.get('tags')?.text ?? '')) {
      const value = evaluate(expression, known);
      if (value !== undefined) tags[key] = value;
    }
  return tags;
}

function readBlocks(text: string): readonly HclBlock[] {
  try {
    return parseHcl(text).blocks;
  } catch (err) {
    if (err instanceof HclError) return [];
    throw err;
  }
}

const dataOf = (blocks: readonly HclBlock[], type: string): HclBlock[] =>
  blocks.filter((block) => block.type === 'data' && block.labels[0] === type);

const scalarText = (value: unknown): string | undefined =>
  typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? String(value) : undefined;

function defaultsOf(blocks: readonly HclBlock[]): Map<string, string> {
  const values = new Map<string, string>();
  for (const { labels, body } of blocks) {
    const value = scalarText(body.attributes.get('default')?.value);
    if (labels[0] !== undefined && value !== undefined) values.set(labels[0], value);
  }
  return values;
}

/** Entries of an object expression as key → text of the value; commas and line ends inside of anything do not count. */
function entriesOf(text: string): [string, string][] {
  const object = /^\{([\s\S]*)\}$/.exec(text.trim());
  if (object === null) return [];
  const parts = [''];
  let depth = 0;
  for (const [token] of (object[1] ?? '').matchAll(/"(?:[^"\\]|\\.)*"|[\s\S]/g)) {
    if (/^[([{]$/.test(token)) depth += 1;
    if (/^[)\]}]$/.test(token)) depth -= 1;
    if (depth === 0 && (token === ',' || token === '\n')) parts.push('');
    else parts[parts.length - 1] += token;
  }
  return parts.flatMap((part): [string, string][] => {
    const entry = /^\s*(?:"([^"]*)"|([\w-]+))\s*[=:]\s*(\S[\s\S]*?)\s*$/.exec(part);
    const key = entry?.[1] ?? entry?.[2];
    return key === undefined ? [] : [[key, entry?.[3] ?? '']];
  });
}

function evaluate(expression: string, known: Known): string | undefined {
  const reference = /^(?:var\.([\w-]+)|data\.coder_parameter\.([\w-]+)\.value)$/.exec(expression);
  if (reference !== null)
    return reference[1] === undefined ? known.parameters.get(reference[2] ?? '') : known.variables.get(reference[1]);
  const literal = scalarText(literalOf(expression));
  if (literal !== undefined) return literal;
  const template = /^"((?:[^"\\]|\\.)*)"$/.exec(expression)?.[1];
  if (template === undefined || /%\{|\$\$\{|\\/.test(template)) return undefined;
  let unknown = false;
  const text = template.replace(/\$\{\s*([^}]*?)\s*\}/g, (_, inner: string) => {
    const value = evaluate(inner, known);
    unknown ||= value === undefined;
    return value ?? '';
  });
  return unknown ? undefined : text;
}

function literalOf(expression: string): unknown {
  try {
    return parseHcl(`v = ${expression}\n`).attributes.get('v')?.value;
  } catch (err) {
    if (err instanceof HclError) return undefined;
    throw err;
  }
}
