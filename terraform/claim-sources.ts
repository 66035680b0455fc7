import { readFile, readdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { type HclBody, HclError, parseHcl } from './hcl.ts';
import { blocksAt, parseObject, textAt } from './json.ts';

/** Module (`''`, `module.a.module.b`) → file name → text. Modules of one directory share one map. */
export type ModuleFiles = ReadonlyMap<string, ReadonlyMap<string, string>>;

/** What the plan's JSON does not hold, of one module. */
export interface ModuleSource {
  /** `resource.T.N`, `data.T.N`, `module.M`, `output.O`, `provider.P` → its blocks; several with override files. */
  readonly bodies: ReadonlyMap<string, readonly HclBody[]>;
  /** Name → texts of the expression. */
  readonly locals: ReadonlyMap<string, readonly string[]>;
  /** Every file was read. */
  readonly complete: boolean;
}

export const unreadSource: ModuleSource = { bodies: new Map(), locals: new Map(), complete: false };

/** Templates have some hundred KiB. What is larger would hold the worker up: this much takes about five seconds. */
const maxBytes = 8 * 1024 * 1024;

/** Sources of the root and of every module, after `terraform init`. Throws when they are too large or not there. */
export async function readModuleFiles(workDir: string): Promise<ModuleFiles> {
  const manifest = parseObject(await readManifest(workDir));
  if (manifest === null) throw new Error('the list of modules is damaged');
  const directories = new Map([['', resolve(workDir)]]);
  for (const module of blocksAt(manifest, 'Modules')) {
    const names = textAt(module, 'Key').split('.');
    if (names[0] !== '')
      directories.set(names.map((name) => `module.${name}`).join('.'), resolve(workDir, textAt(module, 'Dir')));
  }
  const files = new Map<string, ReadonlyMap<string, string>>();
  let size = 0;
  for (const directory of new Set(directories.values())) {
    const texts = new Map<string, string>();
    for (const name of (await readdir(directory)).toSorted()) {
      if (!/\.tf(\.json)?$/.test(name) || name.startsWith('.')) continue;
      const text = await readFile(join(directory, name), 'utf8');
      size += text.length;
      if (size > maxBytes) throw new Error('the sources are larger than 8 MiB');
      texts.set(name, text);
    }
    files.set(directory, texts);
  }
  return new Map([...directories].map(([module, directory]) => [module, files.get(directory) ?? new Map()]));
}

/** Terraform writes none for a template without modules. */
const readManifest = (workDir: string): Promise<string> =>
  readFile(join(workDir, '.terraform/modules/modules.json'), 'utf8').catch((err: NodeJS.ErrnoException) => {
    if (err.code === 'ENOENT') return '{}';
    throw err;
  });

/** JSON syntax counts as not read: few write it, and what it says is then taken to depend on everything. */
export function parseModule(files: ReadonlyMap<string, string>): ModuleSource {
  const bodies = new Map<string, HclBody[]>();
  const locals = new Map<string, string[]>();
  let complete = true;
  for (const [file, text] of files) {
    const root = file.endsWith('.tf') ? parseFile(text) : null;
    if (root === null) {
      complete = false;
      // It may say something else about any block of the others.
      if (/(^|_)override\.tf(\.json)?$/.test(file)) return unreadSource;
      continue;
    }
    for (const { type, labels, body } of root.blocks) {
      if (type !== 'locals') add(bodies, [type, ...labels].join('.'), body);
      else for (const [name, expression] of body.attributes) add(locals, name, expression.text);
    }
  }
  return { bodies, locals, complete };
}

function parseFile(text: string): HclBody | null {
  try {
    return parseHcl(text);
  } catch (err) {
    if (err instanceof HclError) return null;
    throw err;
  }
}

export function add<V>(to: Map<string, V[]>, key: string, value: V): void {
  const list = to.get(key);
  if (list === undefined) to.set(key, [value]);
  else list.push(value);
}
