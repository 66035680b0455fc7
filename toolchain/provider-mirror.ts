import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { extractMember, isReachable } from './download.ts';
import { SetupFailure } from './failure.ts';
import { buildWithGo, findGo } from './go-build.ts';
import { withLock, writeAtomically } from './lock.ts';
import { currentPlatform } from './platform.ts';
import { run } from './process.ts';
import type { Step } from './progress.ts';
import type { ResolvedTerraform } from './terraform-cli.ts';
import { lockPath, withScratch } from './tool-context.ts';
import type { ToolContext } from './tool-context.ts';
import { findStored, store } from './tool-store.ts';
import type { ToolSource } from './tool-store.ts';

export interface ProviderRelease {
  readonly namespace: string;
  readonly type: string;
  readonly version: string;
  readonly goPackage: string;
}
/** What every template needs, and what only tests of ours need. */
export const knownProviders = {
  coder: {
    namespace: 'coder',
    type: 'coder',
    version: '2.20.0',
    goPackage: 'github.com/coder/terraform-provider-coder/v2',
  },
  time: {
    namespace: 'hashicorp',
    type: 'time',
    version: '0.14.2',
    goPackage: 'github.com/hashicorp/terraform-provider-time',
  },
} as const satisfies Record<string, ProviderRelease>;
export type KnownProvider = keyof typeof knownProviders;

export interface ProviderMirrorOptions extends ToolContext {
  readonly terraform: ResolvedTerraform;
  readonly providers: readonly KnownProvider[];
  /** BERTH_PROVIDER_NETWORK: runs may fetch what the mirror lacks. */
  readonly network: boolean;
  /** Asked before `terraform providers mirror`, so that a closed network costs seconds. */
  readonly registry?: string;
}
export interface ProviderMirror {
  readonly mirrorDir: string;
  /** Value of TF_CLI_CONFIG_FILE for every Terraform run of ours. */
  readonly cliConfigPath: string;
  readonly providers: readonly {
    readonly name: KnownProvider;
    readonly version: string;
    readonly source: ToolSource;
  }[];
}

const registryHost = 'registry.terraform.io';
const tofuHost = 'registry.opentofu.org';

/** Place of a provider's executable below the mirror, in Terraform's unpacked layout. */
const mirrorPath = ({ namespace, type, version }: ProviderRelease): string =>
  join(
    registryHost,
    namespace,
    type,
    version,
    currentPlatform().id,
    `terraform-provider-${type}_v${version}${currentPlatform().exe}`,
  );

/**
 * Fills `.tools/mirror` with the providers and writes the CLI configuration that points Terraform to it. A provider comes
 * from .tools → the user's cache → its registry → `go install`. The mirror is unpacked, so that init links instead of
 * copying (spec/02 §5.2). Throws SetupFailure.
 */
export async function prepareProviderMirror(options: ProviderMirrorOptions): Promise<ProviderMirror> {
  const { dirs, terraform, providers, network } = options;
  const mirrorDir = join(dirs.tools, 'mirror');
  const found = [];
  for (const name of providers) found.push({ name, ...(await ensureProvider(options, name)) });
  if (terraform.flavor === 'tofu') linkForTofu(mirrorDir);
  // One file per policy: a run that is going on keeps the file it was started with.
  const cliConfigPath = join(dirs.tools, network ? 'terraform-network.tfrc' : 'terraform.tfrc');
  writeAtomically(cliConfigPath, cliConfig(mirrorDir, network));
  return { mirrorDir, cliConfigPath, providers: found };
}

/**
 * Without the network the mirror is the only source and the error of a missing provider names it. With it, Terraform takes
 * the newest version that fits from both.
 */
export const cliConfig = (mirrorDir: string, network: boolean): string =>
  `disable_checkpoint = true

provider_installation {
  filesystem_mirror {
    path = ${JSON.stringify(mirrorDir)}
  }
${network ? '  direct {}\n' : ''}}
`;

async function ensureProvider(
  options: ProviderMirrorOptions,
  name: KnownProvider,
): Promise<{ version: string; source: ToolSource }> {
  const { dirs, progress } = options;
  const release: ProviderRelease = knownProviders[name];
  const { version } = release;
  const relative = join('mirror', mirrorPath(release));
  const stored = findStored(dirs, relative);
  if (stored !== null) return { version, source: stored.source };
  return progress.step(
    `Terraform provider ${release.namespace}/${release.type} ${version}`,
    (step) =>
      withLock(
        lockPath(dirs, `provider-${name}`),
        async () => {
          const meanwhile = findStored(dirs, relative);
          if (meanwhile !== null) return { version, source: meanwhile.source };
          return withScratch(dirs, async (scratch) => {
            const { file, source } = await obtain(options, { release, scratch, step });
            store(dirs, relative, file);
            return { version, source };
          });
        },
        (by) => step.update(`waiting for process ${by.pid}, which is getting it`),
      ),
    (result) => (result.source === 'go' ? 'built with Go' : result.source),
  );
}

async function obtain(
  options: ProviderMirrorOptions,
  { release, scratch, step }: { release: ProviderRelease; scratch: string; step: Step },
): Promise<{ file: string; source: ToolSource }> {
  const fromRegistry = await mirrorFromRegistry(options, { release, scratch, step });
  if (fromRegistry !== null) return { file: fromRegistry, source: 'registry' };
  const go = findGo(options);
  const name = `${release.namespace}/${release.type} ${release.version}`;
  if (go === null)
    throw new SetupFailure(
      `no Terraform provider ${name}: its registry cannot be reached from here, and there is no Go to build it`,
      `install Go, or put the provider's executable at ${join(options.dirs.tools, 'mirror', mirrorPath(release))}`,
    );
  step.update('no registry from here; building with Go');
  const program = {
    package: release.goPackage,
    version: `v${release.version}`,
    binary: `terraform-provider-${release.type}${currentPlatform().exe}`,
    ldflags: `-X main.version=${release.version}`,
  };
  const onLine = (line: string): void => step.update(`Go: ${line}`);
  return { file: await buildWithGo(options, { go, program, folder: scratch, onLine }), source: 'go' };
}

/** `terraform providers mirror` checks the publisher's signature. Null when the registry is out of reach. */
async function mirrorFromRegistry(
  options: ProviderMirrorOptions,
  { release, scratch, step }: { release: ProviderRelease; scratch: string; step: Step },
): Promise<string | null> {
  const { terraform, env, limits, registry = `https://${registryHost}` } = options;
  step.update('asking the provider registry');
  if (!(await isReachable(`${registry}/.well-known/terraform.json`, limits?.connectMs))) return null;
  const { namespace, type, version } = release;
  const config = join(scratch, 'config');
  mkdirSync(config);
  writeFileSync(
    join(config, 'main.tf'),
    `terraform {\n  required_providers {\n    wanted = {\n      source  = "${registryHost}/${namespace}/${type}"\n      version = "${version}"\n    }\n  }\n}\n`,
  );
  const empty = join(scratch, 'empty.tfrc');
  writeFileSync(empty, 'disable_checkpoint = true\n');
  step.update('fetching from the provider registry');
  const packed = join(scratch, 'packed');
  const result = await run(terraform.path, ['providers', 'mirror', `-platform=${currentPlatform().id}`, packed], {
    cwd: config,
    env: { ...env, TF_CLI_CONFIG_FILE: empty, TF_IN_AUTOMATION: '1', TF_LOG: '' },
    timeoutMs: 10 * 60_000,
  });
  const archive = join(
    packed,
    registryHost,
    namespace,
    type,
    `terraform-provider-${type}_${version}_${currentPlatform().id}.zip`,
  );
  if (result.code !== 0 || !existsSync(archive)) return null;
  const file = join(scratch, 'provider');
  await extractMember(archive, `terraform-provider-${type}_v${version}${currentPlatform().exe}`, file);
  return file;
}

/** OpenTofu asks for `registry.opentofu.org/coder/coder`: each package directory is linked there. */
function linkForTofu(mirrorDir: string): void {
  const subfolders = (path: string): string[] => (existsSync(path) ? readdirSync(path) : []);
  const root = join(mirrorDir, registryHost);
  for (const namespace of subfolders(root))
    for (const type of subfolders(join(root, namespace)))
      for (const version of subfolders(join(root, namespace, type))) {
        const place = join(namespace, type, version, currentPlatform().id);
        const link = join(mirrorDir, tofuHost, place);
        mkdirSync(dirname(link), { recursive: true });
        const draft = `${link}.${process.pid}`;
        rmSync(draft, { force: true });
        symlinkSync(join(root, place), draft);
        renameSync(draft, link);
      }
}
