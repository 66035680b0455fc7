import { existsSync, statSync } from 'node:fs';
import { readFile, readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { pack } from 'tar-stream';
import { compareBytes } from '../domain/text-order.ts';

/** A template that ships with the control plane. Its words stand in the front matter of its README. */
export interface ExampleTemplate {
  readonly id: string;
  readonly name: string;
  readonly description: string;
  readonly icon: string;
  readonly tags: readonly string[];
  /** README without its front matter. */
  readonly markdown: string;
}

/** `examples/templates` of this installation: beside the sources, or above them when they run from `dist/`. */
export function examplesDirectory(from: string = import.meta.dirname): string | undefined {
  const candidate = join(from, 'examples', 'templates');
  if (existsSync(candidate) && statSync(candidate).isDirectory()) return candidate;
  const parent = dirname(from);
  return parent === from ? undefined : examplesDirectory(parent);
}

/** All examples by id; a directory without Terraform files is none. */
export async function listExamples(directory = examplesDirectory()): Promise<ExampleTemplate[]> {
  if (directory === undefined) return [];
  const entries = await readdir(directory, { withFileTypes: true });
  const examples = await Promise.all(
    entries.filter((entry) => entry.isDirectory()).map((entry) => readExample(join(directory, entry.name), entry.name)),
  );
  return examples
    .filter((example): example is ExampleTemplate => example !== undefined)
    .toSorted((a, b) => compareBytes(a.id, b.id));
}

async function readExample(folder: string, id: string): Promise<ExampleTemplate | undefined> {
  const files = await readdir(folder);
  if (!files.some((file) => /\.tf(\.json)?$/.test(file))) return undefined;
  const readme = files.find((file) => file.toLowerCase() === 'readme.md');
  const { fields, markdown } = readFrontMatter(
    readme === undefined ? '' : await readFile(join(folder, readme), 'utf8'),
  );
  const text = (key: string) => fields.get(key)?.[0] ?? '';
  return {
    id,
    name: text('display_name') || (/^# +(.+)$/m.exec(markdown)?.[1]?.trim() ?? id),
    description: text('description'),
    icon: text('icon'),
    tags: fields.get('tags') ?? [],
    markdown,
  };
}

/** The few forms of YAML that front matter needs: `key: text`, `key: [a, b]` and a list of `- item` lines. */
export function readFrontMatter(readme: string): { fields: Map<string, string[]>; markdown: string } {
  const match = /^---\r?\n([\s\S]*?)\r?\n---\r?\n?([\s\S]*)$/.exec(readme);
  const fields = new Map<string, string[]>();
  if (match === null) return { fields, markdown: readme };
  let last = '';
  const plain = (text: string) => text.trim().replace(/^(["'])(.*)\1$/, '$2');
  for (const line of (match[1] ?? '').split(/\r?\n/)) {
    const [, item] = /^\s*-\s+(.*)$/.exec(line) ?? [];
    const [, key, value = ''] = /^([\w-]+):\s*(.*)$/.exec(line) ?? [];
    if (item !== undefined) fields.set(last, [...(fields.get(last) ?? []), plain(item)]);
    else if (key !== undefined) {
      last = key;
      const list = /^\[(.*)\]$/.exec(value.trim());
      if (list !== null) fields.set(key, (list[1] ?? '').split(',').map(plain).filter(Boolean));
      else if (value.trim() !== '') fields.set(key, [plain(value)]);
    }
  }
  return { fields, markdown: (match[2] ?? '').trimStart() };
}

/** An example as template archive; the same files give the same bytes. undefined = there is no such example. */
export async function packExample(id: string, directory = examplesDirectory()): Promise<Buffer | undefined> {
  const known = (await listExamples(directory)).some((example) => example.id === id);
  if (directory === undefined || !known) return undefined;
  const archive = pack();
  const packed = buffer(archive);
  const add = async (folder: string, prefix: string): Promise<void> => {
    const entries = await readdir(folder, { withFileTypes: true });
    for (const entry of entries.toSorted((a, b) => compareBytes(a.name, b.name))) {
      const name = `${prefix}${entry.name}`;
      const path = join(folder, entry.name);
      // What a run in the directory left behind is no part of the template.
      if (entry.name === '.terraform' || /\.tfstate(\.|$)/.test(entry.name)) continue;
      if (entry.isDirectory()) await add(path, `${name}/`);
      else if (entry.isFile())
        archive.entry({ name, mode: statSync(path).mode & 0o755, mtime: new Date(0) }, await readFile(path));
    }
  };
  await add(join(directory, id), '');
  archive.finalize();
  return packed;
}
