import { existsSync, mkdirSync, readFileSync, readlinkSync, realpathSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { loadConfig } from '../../config.ts';
import { currentPlatform } from '../../toolchain/platform.ts';
import { run } from '../../toolchain/process.ts';
import { cliConfig, knownProviders, prepareProviderMirror } from '../../toolchain/provider-mirror.ts';
import type { ResolvedTerraform } from '../../toolchain/terraform-cli.ts';
import { testTerraform } from '../support/services.ts';
import {
  fakeExecutable,
  readLines,
  serveFiles,
  temporaryDir,
  toolContextFor,
  unreachable,
  zipWith,
} from './fixtures.ts';
import type { TestContext } from './fixtures.ts';

const { id } = currentPlatform();
const { version } = knownProviders.coder;
const executable = join(
  'mirror',
  'registry.terraform.io',
  'coder',
  'coder',
  version,
  id,
  `terraform-provider-coder_v${version}`,
);
const terraformAt = (path: string, flavor: 'terraform' | 'tofu' = 'terraform'): ResolvedTerraform => ({
  path,
  version: '1.11.4',
  source: 'path',
  flavor,
});

function template(providers: string): string {
  const dir = temporaryDir();
  writeFileSync(
    join(dir, 'main.tf'),
    `terraform {\n  required_providers {\n${providers}\n  }\n}\nresource "terraform_data" "x" {}\n`,
  );
  return dir;
}
const init = (dir: string, cliConfigPath: string) =>
  run(testTerraform().path, ['init', '-no-color', '-input=false'], {
    cwd: dir,
    env: { PATH: '/usr/bin:/bin', HOME: dir, TF_CLI_CONFIG_FILE: cliConfigPath },
  });

test('a template that uses coder/coder and hashicorp/time initialises from the mirror alone', async () => {
  const dir = template(
    `    coder = { source = "coder/coder", version = "${version}" }\n    time = { source = "hashicorp/time" }`,
  );
  const { code, stderr } = await init(dir, testTerraform().cliConfig);
  expect(stderr).not.toContain('Error');
  expect(code).toBe(0);
  // Unpacked mirrors are linked, not copied: parallel builds share the file without writing it.
  const link = join(dir, '.terraform', 'providers', 'registry.terraform.io', 'coder', 'coder', version, id);
  expect(readlinkSync(link)).toBe(
    join(realpathSync(loadConfig().BERTH_TOOLS_DIR), 'mirror', 'registry.terraform.io', 'coder', 'coder', version, id),
  );
});

test('without the network a provider that the mirror lacks is an error that names it at once', async () => {
  const dir = template('    docker = { source = "kreuzwerker/docker" }');
  const { code, stderr } = await init(dir, testTerraform().cliConfig);
  expect(code).toBe(1);
  expect(stderr).toMatch(/registry\.terraform\.io\/kreuzwerker\/docker was not\s+found/);
});

test('only the operator opens the way to the registries', () => {
  expect(cliConfig('/m', false)).not.toContain('direct');
  expect(cliConfig('/m', true)).toContain('direct {}');
});

const fakeGo = (context: TestContext): string =>
  fakeExecutable(
    join(context.bin, 'go'),
    `echo "$@" >> ${context.root}/go-calls
echo provider > "$GOBIN/terraform-provider-coder"
/bin/chmod +x "$GOBIN/terraform-provider-coder"`,
  );

test('with no registry in reach the provider is built with Go and shared with other clones', async () => {
  const context = toolContextFor();
  fakeGo(context);
  const terraform = terraformAt('/nowhere');
  const mirror = await prepareProviderMirror({
    ...context,
    terraform,
    providers: ['coder'],
    network: false,
    registry: unreachable,
  });
  expect(mirror.providers).toEqual([{ name: 'coder', version, source: 'go' }]);
  expect(readLines(join(context.root, 'go-calls'))[0]).toContain(
    `github.com/coder/terraform-provider-coder/v2@v${version}`,
  );
  expect(readFileSync(join(context.dirs.tools, executable), 'utf8')).toBe('provider\n');
  expect(readFileSync(mirror.cliConfigPath, 'utf8')).toBe(cliConfig(mirror.mirrorDir, false));

  const dirs = { ...context.dirs, tools: join(context.root, 'other-clone') };
  const second = await prepareProviderMirror({
    ...context,
    dirs,
    path: '',
    terraform,
    providers: ['coder'],
    network: false,
  });
  expect(second.providers).toEqual([{ name: 'coder', version, source: 'cache' }]);
});

test('with the registry in reach Terraform fetches the provider and it is unpacked', async () => {
  const context = toolContextFor();
  const zip = join(context.root, 'provider.zip');
  writeFileSync(zip, await zipWith(`terraform-provider-coder_v${version}`, Buffer.from('signed')));
  // The stand-in notes which CLI configuration it was given: that of the caller must not apply.
  const terraform = fakeExecutable(
    join(context.root, 'terraform'),
    `for target in "$@"; do :; done
/bin/mkdir -p "$target/registry.terraform.io/coder/coder"
/bin/cp ${zip} "$target/registry.terraform.io/coder/coder/terraform-provider-coder_${version}_${id}.zip"
/bin/cat "$TF_CLI_CONFIG_FILE" > ${context.root}/cli-config`,
  );
  const { url } = await serveFiles({ '/.well-known/terraform.json': '{}' });
  const env = { ...context.env, TF_CLI_CONFIG_FILE: '/nowhere/inherited.tfrc' };
  const mirror = await prepareProviderMirror({
    ...context,
    env,
    terraform: terraformAt(terraform),
    providers: ['coder'],
    network: false,
    registry: url,
  });
  expect(mirror.providers).toEqual([{ name: 'coder', version, source: 'registry' }]);
  expect(readFileSync(join(context.dirs.tools, executable), 'utf8')).toBe('signed');
  expect(readLines(join(context.root, 'cli-config'))).toEqual(['disable_checkpoint = true']);
});

test('with neither registry nor Go the error says where the provider would have to be', async () => {
  const context = toolContextFor();
  mkdirSync(context.bin, { recursive: true });
  // A Go in its usual place cannot be hidden from the set-up; a machine without one is what this case is about.
  const failing = prepareProviderMirror({
    ...context,
    terraform: terraformAt('/nowhere'),
    providers: ['coder'],
    network: false,
    registry: unreachable,
    goPlaces: [],
  });
  await expect(failing).rejects.toMatchObject({ fix: expect.stringContaining(executable) as string });
});

test('OpenTofu finds the same providers under its own registry name', async () => {
  const context = toolContextFor();
  fakeGo(context);
  const terraform = terraformAt('/nowhere', 'tofu');
  const { mirrorDir } = await prepareProviderMirror({
    ...context,
    terraform,
    providers: ['coder'],
    network: false,
    registry: unreachable,
  });
  const place = join(
    mirrorDir,
    'registry.opentofu.org',
    'coder',
    'coder',
    version,
    id,
    `terraform-provider-coder_v${version}`,
  );
  expect(existsSync(place)).toBe(true);
});
