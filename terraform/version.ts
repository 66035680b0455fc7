import { execFile } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, isAbsolute, join, resolve } from 'node:path';
import { promisify } from 'node:util';

/** Version range that `init -json` and the form of `graph` need (spec/02 §5.1). */
const accepted = { from: [1, 9], below: 2 } as const;

/**
 * Finds the binary (a path, or a name on `searchPath`) and asks it for its version. Answers its absolute path. Throws one
 * clear error when it cannot be run or is out of range.
 */
export async function checkTerraform(binary: string, searchPath = ''): Promise<{ path: string; version: string }> {
  const path = isAbsolute(binary) ? binary : (findOn(searchPath, binary) ?? resolve(binary));
  const { stdout } = await promisify(execFile)(path, ['version', '-json'], {
    timeout: 10_000,
    env: { PATH: '' },
  }).catch((err: Error) => {
    throw new Error(`cannot run ${path}: ${err.message}. Install Terraform 1.9 or later, or set BERTH_TERRAFORM_PATH.`);
  });
  const { terraform_version: version } = JSON.parse(stdout) as { terraform_version: string };
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if (major >= accepted.below || major < accepted.from[0] || (major === accepted.from[0] && minor < accepted.from[1]))
    throw new Error(`Terraform ${version} at ${path} is not supported: 1.9.0 or later, below 2, is needed.`);
  return { path, version };
}

function findOn(searchPath: string, name: string): string | undefined {
  return searchPath
    .split(delimiter)
    .filter((folder) => isAbsolute(folder))
    .map((folder) => join(folder, name))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}
