import { createHash, randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface AgentBundle {
  readonly code: Buffer;
  /** Hexadecimal; also in the init scripts, which run nothing else. */
  readonly sha256: string;
}

const here = dirname(fileURLToPath(import.meta.url));
/** package.json is one level up from the sources; the compiled tree holds the finished bundle and never builds. */
const root = dirname(here);
const require = createRequire(import.meta.url);

const sha256 = (bytes: Buffer | string): string => createHash('sha256').update(bytes).digest('hex');

const versionOf = (name: string): string => {
  // Packages may not export their package.json, so it is read from their place.
  let directory = dirname(require.resolve(name));
  while (!existsSync(join(directory, 'package.json'))) directory = dirname(directory);
  return (JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8')) as { version: string }).version;
};
const ownVersion = (): string =>
  (JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }).version;

/**
 * Builds `agent.mjs` from the sources. The same bytes on every host: nothing in it depends on paths, time or environment,
 * because its digest goes into Terraform's environment and a change of that would replace machines (spec/05 §16).
 */
export async function buildAgentBundle(): Promise<Buffer> {
  const { build } = await import('esbuild');
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: ['agent/main.ts'],
    bundle: true,
    write: false,
    minify: true,
    legalComments: 'none',
    charset: 'utf8',
    platform: 'node',
    format: 'esm',
    target: 'node20',
    // A tsconfig of the host must not have a say.
    tsconfigRaw: {},
    // ws is CommonJS and asks for Node's own modules at run time.
    banner: { js: "import{createRequire as r}from'node:module';const require=r(import.meta.url);" },
    define: {
      BERTH_AGENT_VERSION: JSON.stringify(`v${ownVersion()}`),
      // Native additions of ws that are not in the bundle.
      'process.env.WS_NO_BUFFER_UTIL': '"1"',
      'process.env.WS_NO_UTF_8_VALIDATE': '"1"',
    },
    external: ['bufferutil', 'utf-8-validate'],
    logLevel: 'silent',
  });
  const [file] = outputFiles;
  if (file === undefined) throw new Error('the agent could not be bundled');
  return Buffer.from(file.contents);
}

/** Everything that decides about the bytes: sources, tools, packages. */
function inputsHash(): string {
  const hash = createHash('sha256').update(ownVersion());
  for (const name of ['esbuild', 'ws', 'croner']) hash.update(`${name}@${versionOf(name)}\n`);
  // The agent imports its own files and domain/ only (lint holds that).
  for (const directory of [here, join(root, 'domain')])
    for (const name of readdirSync(directory).toSorted())
      if (name.endsWith('.ts')) hash.update(`${name}\n${sha256(readFileSync(join(directory, name)))}\n`);
  return hash.digest('hex').slice(0, 32);
}

async function findOrBuild(directory: string): Promise<AgentBundle> {
  const built = join(here, 'agent.mjs');
  if (existsSync(built)) {
    const code = readFileSync(built);
    return { code, sha256: sha256(code) };
  }
  if (!existsSync(join(here, 'main.ts'))) throw new Error(`${built} is missing: npm run build makes it`);
  const path = join(directory, `agent-${inputsHash()}.mjs`);
  if (existsSync(path)) {
    const code = readFileSync(path);
    return { code, sha256: sha256(code) };
  }
  const code = await buildAgentBundle();
  mkdirSync(directory, { recursive: true });
  // Several processes may start at once: each writes the same bytes, and the last rename wins.
  const draft = `${path}.${randomUUID()}`;
  writeFileSync(draft, code);
  renameSync(draft, path);
  return { code, sha256: sha256(code) };
}

const loaded = new Map<string, Promise<AgentBundle>>();

/**
 * The agent for workspaces: what `npm run build` made, else built once and kept in `directory` under the hash of its
 * sources. Source: spec/05 §16.
 */
export function loadAgentBundle({ directory }: { readonly directory: string }): Promise<AgentBundle> {
  let bundle = loaded.get(directory);
  if (bundle === undefined) {
    bundle = findOrBuild(directory);
    loaded.set(directory, bundle);
    // A failure (a full disk) must not last for the life of the process.
    bundle.catch(() => loaded.delete(directory));
  }
  return bundle;
}
