import { join } from 'node:path';
import { expect, test } from 'vitest';
import { SetupFailure } from '../../toolchain/failure.ts';
import { currentPlatform } from '../../toolchain/platform.ts';
import { resolveTerraform, terraformVersion } from '../../toolchain/terraform-cli.ts';
import { testTerraform } from '../support/services.ts';
import { fakeExecutable, fakeTerraform, serveFiles, sha256, toolContextFor, unreachable, zipWith } from './fixtures.ts';

const { os, arch, id } = currentPlatform();
const releases = unreachable;

test('the configured binary wins and is not second-guessed', async () => {
  const context = toolContextFor();
  fakeTerraform(join(context.bin, 'terraform'), '1.12.0');
  const configuredPath = fakeTerraform(join(context.root, 'mine'), '1.9.0');
  const tool = await resolveTerraform({ ...context, configuredPath, releases });
  expect(tool).toEqual({ path: configuredPath, version: '1.9.0', source: 'configured', flavor: 'terraform' });
});

test.each([
  ['1.8.5', false],
  ['1.9.0', true],
  ['1.15.3', true],
  ['2.0.0', false],
])('version %s is accepted: %s', async (version, accepted) => {
  const context = toolContextFor();
  const configuredPath = fakeTerraform(join(context.root, 'terraform'), version);
  const result = resolveTerraform({ ...context, configuredPath, releases });
  if (accepted) expect((await result).version).toBe(version);
  else await expect(result).rejects.toThrow(`is version ${version}; 1.9.0 or later and below 2 is needed`);
});

test('PATH is searched for terraform first and for tofu when that is too old', async () => {
  const context = toolContextFor();
  fakeTerraform(join(context.bin, 'terraform'), '1.5.7');
  const tofu = fakeTerraform(join(context.bin, 'tofu'), '1.10.2', 'OpenTofu');
  const tool = await resolveTerraform({ ...context, releases });
  expect(tool).toEqual({ path: tofu, version: '1.10.2', source: 'path', flavor: 'tofu' });
});

test('everything that does not fit ends in one error that names it and the fix', async () => {
  const context = toolContextFor();
  fakeTerraform(join(context.bin, 'terraform'), '1.5.7');
  fakeExecutable(join(context.bin, 'tofu'), 'exit 1');
  const failure = (await resolveTerraform({ ...context, releases }).catch((err: unknown) => err)) as SetupFailure;
  expect(failure).toBeInstanceOf(SetupFailure);
  expect(failure.message).toContain('terraform is version 1.5.7');
  expect(failure.message).toContain('tofu does not run as Terraform');
  expect(failure.fix).toContain('BERTH_TERRAFORM_PATH');
});

test('the official release is unpacked from its archive once its checksum fits', async () => {
  const context = toolContextFor();
  const name = `terraform_${terraformVersion}_${os}_${arch}.zip`;
  const archive = await zipWith('terraform', Buffer.from('#!/bin/sh\nexit 0\n'));
  const { url } = await serveFiles({
    [`/${terraformVersion}/${name}`]: archive,
    [`/${terraformVersion}/terraform_${terraformVersion}_SHA256SUMS`]: `${'1'.repeat(64)}  other.zip\n${sha256(archive)}  ${name}\n`,
  });
  const tool = await resolveTerraform({ ...context, releases: url });
  expect(tool).toEqual({
    path: join(context.dirs.tools, 'terraform', terraformVersion, id, 'terraform'),
    version: terraformVersion,
    source: 'download',
    flavor: 'terraform',
  });
});

test('the real binary of this machine is found with its version, whatever CLI configuration is inherited', async () => {
  const context = toolContextFor();
  const { path } = testTerraform();
  const env = { ...context.env, TF_CLI_CONFIG_FILE: '/nowhere/broken.tfrc' };
  const tool = await resolveTerraform({ ...context, env, configuredPath: path, releases });
  expect(tool.version).toMatch(/^1\.\d+\.\d+$/);
});
