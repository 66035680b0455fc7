import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, inject, test } from 'vitest';
import { checkTerraform } from '../../terraform/version.ts';
import { scratchDir } from './support/terraform-runs.ts';

let dir: string;
beforeEach(async () => {
  dir = await scratchDir();
});
afterEach(() => rm(dir, { recursive: true, force: true }));

/** A program of this name that says it is Terraform of this version. */
async function pretend(name: string, version: string): Promise<string> {
  const path = join(dir, name);
  await mkdir(dir, { recursive: true });
  await writeFile(path, `#!/bin/sh\necho '{"terraform_version":"${version}"}'\n`, { mode: 0o755 });
  return path;
}

test('the real binary is accepted by its path and by its name', async () => {
  const path = inject('terraformPath');
  const found = await checkTerraform(path);
  expect(found).toEqual({ path, version: expect.stringMatching(/^1\./) });
  await pretend('terraform', '1.12.3');
  expect(await checkTerraform('terraform', `/nowhere:${dir}:/usr/bin`)).toEqual({
    path: join(dir, 'terraform'),
    version: '1.12.3',
  });
});

test.each(['1.5.7', '1.8.9', '2.0.0', '0.15.0'])(
  'version %s is refused with the versions that are not',
  async (version) => {
    const path = await pretend('tofu', version);
    await expect(checkTerraform(path)).rejects.toThrow(
      `Terraform ${version} at ${path} is not supported: 1.9.0 or later, below 2, is needed.`,
    );
  },
);

test('a binary that is not there is told with what to do', async () => {
  await expect(checkTerraform(join(dir, 'missing'))).rejects.toThrow(/cannot run .*missing.*BERTH_TERRAFORM_PATH/);
});
