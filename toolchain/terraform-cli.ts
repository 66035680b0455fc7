import { join } from 'node:path';
import { downloadVerified, extractMember } from './download.ts';
import { SetupFailure, messageOf } from './failure.ts';
import { withLock } from './lock.ts';
import { currentPlatform } from './platform.ts';
import { run } from './process.ts';
import type { Step } from './progress.ts';
import { lockPath, withScratch } from './tool-context.ts';
import type { ToolContext } from './tool-context.ts';
import { findOnPath, findStored, store } from './tool-store.ts';
import type { ResolvedTool } from './tool-store.ts';
import { isWithin } from './versions.ts';

/** Downloaded when none is installed. */
export const terraformVersion = '1.11.4';
/** spec/02 §5.1: `init -json` and the form of `graph` need 1.9; 2 may change the JSON that we read. */
const minimum = '1.9.0';
const limit = '2.0.0';

export interface TerraformOptions extends ToolContext {
  /** BERTH_TERRAFORM_PATH: this file and no other. */
  readonly configuredPath?: string | undefined;
  /** Where releases lie: `<base>/<version>/<file>`. */
  readonly releases?: string;
}
export interface ResolvedTerraform extends ResolvedTool {
  /** OpenTofu looks for providers under another registry name. */
  readonly flavor: 'terraform' | 'tofu';
}

interface Probe {
  readonly version: string;
  readonly flavor: 'terraform' | 'tofu';
}

/** Asks a binary for its version; null when it does not run or is something else. */
async function probe(path: string, env: NodeJS.ProcessEnv): Promise<Probe | null> {
  try {
    // An inherited CLI configuration may be broken or missing: that must not decide whether the binary works.
    const clean = { ...env, TF_CLI_CONFIG_FILE: '/dev/null', CHECKPOINT_DISABLE: '1', TF_LOG: '' };
    const { code, stdout } = await run(path, ['version', '-json'], { env: clean, timeoutMs: 30_000 });
    const answer = JSON.parse(stdout) as { terraform_version?: unknown };
    if (code !== 0 || typeof answer.terraform_version !== 'string') return null;
    const plain = await run(path, ['version'], { env: clean, timeoutMs: 30_000 });
    return { version: answer.terraform_version, flavor: plain.stdout.startsWith('OpenTofu') ? 'tofu' : 'terraform' };
  } catch {
    return null;
  }
}

const verdict = (path: string, found: Probe | null): string =>
  found === null ? `${path} does not run as Terraform` : `${path} is version ${found.version}`;

/**
 * Terraform or OpenTofu ≥ 1.9.0 and < 2: BERTH_TERRAFORM_PATH → PATH (terraform, then tofu) → .tools → the user's cache →
 * official download with checksum. It cannot be built with `go install`: the modules of both use replace directives.
 * Throws one SetupFailure that names everything that was looked at. Source: spec/02 §5.1, design §4.
 */
export async function resolveTerraform(options: TerraformOptions): Promise<ResolvedTerraform> {
  const { configuredPath, dirs, env, path, progress } = options;
  const range = `${minimum} or later and below 2 is needed`;
  if (configuredPath !== undefined && configuredPath !== '') {
    const found = await probe(configuredPath, env);
    if (found === null || !isWithin(found.version, minimum, limit))
      throw new SetupFailure(
        `BERTH_TERRAFORM_PATH: ${verdict(configuredPath, found)}; ${range}`,
        'point BERTH_TERRAFORM_PATH to another binary, or unset it to let the set-up find one',
      );
    return { path: configuredPath, source: 'configured', ...found };
  }
  const refused: string[] = [];
  for (const candidate of [...findOnPath('terraform', path), ...findOnPath('tofu', path)]) {
    const found = await probe(candidate, env);
    if (found !== null && isWithin(found.version, minimum, limit)) return { path: candidate, source: 'path', ...found };
    refused.push(verdict(candidate, found));
  }
  const relative = join('terraform', terraformVersion, currentPlatform().id, `terraform${currentPlatform().exe}`);
  const stored = findStored(dirs, relative);
  if (stored !== null) return { ...stored, version: terraformVersion, flavor: 'terraform' };

  return progress.step(
    `Terraform ${terraformVersion}`,
    (step) =>
      withLock(
        lockPath(dirs, 'terraform'),
        async () => {
          const meanwhile = findStored(dirs, relative);
          const tool =
            meanwhile ??
            (await withScratch(dirs, async (scratch) => ({
              path: store(dirs, relative, await download(options, { scratch, step, refused, range })),
              source: 'download' as const,
            })));
          return { ...tool, version: terraformVersion, flavor: 'terraform' as const };
        },
        (by) => step.update(`waiting for process ${by.pid}, which is getting it`),
      ),
    (tool) => tool.source,
  );
}

async function download(
  options: TerraformOptions,
  { scratch, step, refused, range }: { scratch: string; step: Step; refused: readonly string[]; range: string },
): Promise<string> {
  const { os, arch, exe } = currentPlatform();
  const base = `${options.releases ?? 'https://releases.hashicorp.com/terraform'}/${terraformVersion}`;
  const url = `${base}/terraform_${terraformVersion}_${os}_${arch}.zip`;
  try {
    step.update('downloading the official release');
    const archive = join(scratch, 'archive.zip');
    await downloadVerified({
      url,
      checksumsUrl: `${base}/terraform_${terraformVersion}_SHA256SUMS`,
      into: archive,
      ...(options.limits !== undefined && { limits: options.limits }),
      onProgress: (received, total) =>
        step.update(
          `downloading ${Math.round(received / 1e6)}${total === null ? '' : ` of ${Math.round(total / 1e6)}`} MB`,
        ),
    });
    const file = join(scratch, `terraform${exe}`);
    await extractMember(archive, `terraform${exe}`, file);
    return file;
  } catch (err) {
    if (err instanceof SetupFailure) throw err;
    const seen = refused.length === 0 ? 'none is on PATH' : refused.join(', ');
    throw new SetupFailure(
      `no usable Terraform or OpenTofu (${range}): ${seen}; and ${url} cannot be had (${messageOf(err)})`,
      `install Terraform ${terraformVersion} or OpenTofu 1.9 and put it on PATH, or set BERTH_TERRAFORM_PATH to it`,
      { cause: err },
    );
  }
}
