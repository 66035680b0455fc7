import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { loadConfig, workerEnvironment } from '../config.ts';
import { baseEnvironment } from '../terraform/base-environment.ts';
import { importEnvironment } from '../terraform/environment.ts';
import { terminalProgress } from '../toolchain/progress.ts';
import { resolveTerraformFor, toolContext } from '../toolchain/resolve.ts';
import { type Transition, benchTemplate } from './builds.ts';
import { copyTemplate } from './stack.ts';

const run = promisify(execFile);

export interface RawTerraform {
  readonly binary: string;
  env(transition: Transition): Record<string, string>;
  /** A directory in which the template is initialised and applied. */
  directory(name: string): Promise<string>;
  terraform(cwd: string, transition: Transition, args: readonly string[]): Promise<unknown>;
  remove(): void;
}

export const applyArgs = ['apply', '-no-color', '-input=false', '-auto-approve', '-json'];

/** Terraform typed by hand, with the same binary, mirror and template as the stack's builds. */
export async function prepareRawTerraform(): Promise<RawTerraform> {
  const config = loadConfig();
  const context = toolContext(config, workerEnvironment(), terminalProgress(true));
  const { terraform: tool, mirror } = await resolveTerraformFor(config, context, ['coder']);
  const root = mkdtempSync(join(tmpdir(), 'berth-raw-'));
  const { env: base } = baseEnvironment(workerEnvironment(), mirror.cliConfigPath);
  const env = (transition: Transition): Record<string, string> => {
    const common = { accessUrl: 'http://127.0.0.1:3900', variables: [], agentScripts: {} };
    return { ...base, ...importEnvironment({ ...common, transition }) };
  };
  const terraform: RawTerraform['terraform'] = (cwd, transition, args) =>
    run(tool.path, args, { cwd, env: env(transition), maxBuffer: 64 * 1024 * 1024 });
  return {
    binary: tool.path,
    env,
    terraform,
    async directory(name) {
      const path = copyTemplate(root, name, benchTemplate);
      await terraform(path, 'start', ['init', '-no-color', '-input=false']);
      await terraform(path, 'start', applyArgs);
      return path;
    },
    remove: () => rmSync(root, { recursive: true, force: true }),
  };
}
