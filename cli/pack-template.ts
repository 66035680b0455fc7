import { existsSync, lstatSync, readFileSync, readdirSync, readlinkSync, statSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { pack } from 'tar-stream';
import { usageError } from './errors.ts';
import { createIgnore } from './terraform-ignore.ts';

export interface PackedTemplate {
  readonly bytes: Buffer;
  readonly files: readonly string[];
}

/** What Terraform leaves beside a configuration and no server should get: plugins, plans, states (they hold secrets). */
const leftovers = /(^|\/)(\.terraform\/|\.terraform$|[^/]*\.tfstate(\.[^/]*)?$|[^/]*\.tfplan$|crash(\.[^/]*)?\.log$)/;

/**
 * A template directory as a tar whose bytes depend on names, modes and contents alone. `.terraformignore` is honoured;
 * the lock file goes along, it pins the providers. Links stay links; the server refuses those that leave the tree. Throws CliError (usage).
 */
export async function packTemplate(directory: string): Promise<PackedTemplate> {
  const root = resolve(directory);
  if (!existsSync(root) || !statSync(root).isDirectory())
    throw usageError(`${directory} is not a directory`, 'name the directory with the *.tf files');
  const ignoreFile = join(root, '.terraformignore');
  const isIgnored = createIgnore(existsSync(ignoreFile) ? readFileSync(ignoreFile, 'utf8') : '');
  const archive = pack();
  const files: string[] = [];
  const addFolder = (prefix: string): void => {
    for (const name of readdirSync(join(root, prefix)).toSorted()) {
      const path = prefix === '' ? name : `${prefix}/${name}`;
      const stats = lstatSync(join(root, path));
      if (leftovers.test(path) || isIgnored(path, stats.isDirectory())) continue;
      if (stats.isDirectory()) {
        addFolder(path);
        continue;
      }
      const header = { name: path, mode: stats.mode & 0o777, mtime: new Date(0) };
      if (stats.isSymbolicLink())
        archive.entry({ ...header, type: 'symlink', linkname: readlinkSync(join(root, path)) });
      else archive.entry(header, readFileSync(join(root, path)));
      files.push(path);
    }
  };
  addFolder('');
  archive.finalize();
  if (!files.some((file) => /^[^/]+\.tf(\.json)?$/.test(file)))
    throw usageError(`${directory} has no *.tf file`, 'name the directory with the *.tf files');
  return { bytes: await buffer(archive), files };
}

export interface FrontMatter {
  readonly displayName?: string;
  readonly description?: string;
  readonly icon?: string;
}

/** `display_name`, `description` and `icon` from the head of the template's README.md. */
export function readFrontMatter(directory: string): FrontMatter {
  const path = join(directory, 'README.md');
  const head = existsSync(path) ? /^---\r?\n([\s\S]*?)\r?\n---/.exec(readFileSync(path, 'utf8'))?.[1] : undefined;
  const field = (name: string): string | undefined =>
    new RegExp(`^${name}:[ \\t]*["']?(.*?)["']?[ \\t]*$`, 'm').exec(head ?? '')?.[1];
  const [displayName, description, icon] = [field('display_name'), field('description'), field('icon')];
  return {
    ...(displayName !== undefined && { displayName }),
    ...(description !== undefined && { description }),
    ...(icon !== undefined && { icon }),
  };
}

/** The template's name when none is given: the directory's, in the form that names may have. */
export const nameOfDirectory = (directory: string): string =>
  basename(resolve(directory))
    .replaceAll(/[^a-zA-Z0-9]+/g, '-')
    .replaceAll(/^-+|-+$/g, '')
    .slice(0, 32);
