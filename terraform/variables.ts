import type { TemplateVariable } from '../domain/provisioned.ts';
import { compareBytes } from '../domain/text-order.ts';
import { type HclBody, type HclExpression, HclError, parseHcl } from './hcl.ts';
import { type JsonObject, isObject, listOf, objectOf, parseObject } from './json.ts';

/** One `variable` block, whichever syntax it was written in; an override file gives only some of the attributes. */
interface Declaration {
  readonly name: string;
  readonly description?: string;
  readonly type?: string;
  readonly defaultValue?: string;
  readonly sensitive?: boolean;
}

interface RootFile {
  readonly declarations: readonly Declaration[];
  readonly backend: string | null;
}

/** Override files are merged into the others, in order of their names (Terraform's own rule). */
const isOverride = (file: string): boolean => /(^|_)override\.tf(\.json)?$/.test(file);
const isConfiguration = (file: string): boolean => /\.tf(\.json)?$/.test(file) && !file.startsWith('.');

function readRoot(files: ReadonlyMap<string, string>): RootFile[] {
  return [...files.keys()]
    .filter(isConfiguration)
    .toSorted((a, b) => Number(isOverride(a)) - Number(isOverride(b)) || compareBytes(a, b))
    .map((file) => {
      const text = files.get(file) ?? '';
      return file.endsWith('.json') ? readJsonFile(text) : readHclFile(text);
    });
}

/**
 * `variable` blocks of the root module, by name. A file that cannot be parsed gives none: Terraform reports the error with
 * file and line. Source: spec/02 §2.3, §2.4.
 */
export function readVariables(files: ReadonlyMap<string, string>): TemplateVariable[] {
  const merged = new Map<string, Declaration>();
  for (const { declarations } of readRoot(files))
    for (const declaration of declarations)
      merged.set(declaration.name, { ...merged.get(declaration.name), ...declaration });
  return [...merged.values()]
    .map((declaration) => ({
      name: declaration.name,
      description: declaration.description ?? '',
      type: declaration.type ?? 'string',
      defaultValue: declaration.defaultValue ?? null,
      sensitive: declaration.sensitive ?? false,
    }))
    .toSorted((a, b) => compareBytes(a.name, b.name));
}

/**
 * Type of the `backend` block in `terraform {}`, `cloud` for a `cloud` block, null for neither. State must stay local, so
 * the import refuses both. Source: spec/02 §5.2.
 */
export const findBackend = (files: ReadonlyMap<string, string>): string | null =>
  readRoot(files).find((file) => file.backend !== null)?.backend ?? null;

/** Scalars as plain text, everything else as JSON; `null` is an empty text, because such a variable is not required. */
const valueText = (value: unknown): string =>
  typeof value === 'string' ? value : value === null ? '' : JSON.stringify(value);

function readHclFile(text: string): RootFile {
  let body: HclBody;
  try {
    body = parseHcl(text);
  } catch (err) {
    if (!(err instanceof HclError)) throw err;
    // What we cannot read, Terraform may: a remote state must not slip through.
    const backend = /^\s*(?:backend\s+"([^"\n]*)"|(cloud)\s*\{)/m.exec(text);
    return { declarations: [], backend: backend === null ? null : (backend[1] ?? 'cloud') };
  }
  const declarations: Declaration[] = [];
  let backend: string | null = null;
  for (const { type, labels, body: inner } of body.blocks) {
    if (type === 'variable' && labels[0] !== undefined) declarations.push(hclDeclaration(labels[0], inner));
    if (type === 'terraform')
      for (const block of inner.blocks) {
        if (block.type === 'backend') backend = block.labels[0] ?? '';
        if (block.type === 'cloud') backend = 'cloud';
      }
  }
  return { declarations, backend };
}

function hclDeclaration(name: string, { attributes }: HclBody): Declaration {
  const description = attributes.get('description')?.value;
  const type = attributes.get('type');
  const given = attributes.get('default');
  return {
    name,
    ...(typeof description === 'string' && { description }),
    ...(type && { type: typeText(type) }),
    ...(given && { defaultValue: given.value === undefined ? given.text : valueText(given.value) }),
    ...(attributes.has('sensitive') && { sensitive: isTrue(attributes.get('sensitive')?.value) }),
  };
}

const isTrue = (value: unknown): boolean => value === true || value === 'true';

/** `list( string )` → `list(string)`; the old quoted form `"string"` without its quotes. */
const typeText = (type: HclExpression): string =>
  typeof type.value === 'string'
    ? type.value
    : type.text
        .replace(/\s+/g, ' ')
        .replace(/([([{]) | ([)\]}])/g, '$1$2')
        .replace(/ ?= ?/g, ' = ');

function readJsonFile(text: string): RootFile {
  const root = parseObject(text);
  if (root === null) return { declarations: [], backend: null };
  const declarations = blocks(root['variable']).flatMap((byName) =>
    Object.entries(byName).flatMap(([name, body]) => blocks(body).map((block) => jsonDeclaration(name, block))),
  );
  let backend: string | null = null;
  for (const terraform of blocks(root['terraform'])) {
    for (const byType of blocks(terraform['backend'])) backend = Object.keys(byType)[0] ?? '';
    if (terraform['cloud'] !== undefined) backend = 'cloud';
  }
  return { declarations, backend };
}

/** In JSON a block may be an object or a list of them. */
const blocks = (value: unknown): JsonObject[] => (Array.isArray(value) ? listOf(value) : [value]).filter(isObject);

function jsonDeclaration(name: string, block: JsonObject): Declaration {
  const { description, type, sensitive } = objectOf(block);
  return {
    name,
    ...(typeof description === 'string' && { description }),
    ...(typeof type === 'string' && { type }),
    ...('default' in block && { defaultValue: valueText(block['default']) }),
    ...(sensitive !== undefined && { sensitive: isTrue(sensitive) }),
  };
}
