import { join } from 'node:path';
import { downloadVerified, extractMember } from './download.ts';
import { SetupFailure, messageOf } from './failure.ts';
import { buildWithGo, findGo } from './go-build.ts';
import { withLock } from './lock.ts';
import { currentPlatform } from './platform.ts';
import { run } from './process.ts';
import type { Step } from './progress.ts';
import { lockPath, withScratch } from './tool-context.ts';
import type { ToolContext } from './tool-context.ts';
import { findOnPath, findStored, store } from './tool-store.ts';
import type { ResolvedTool } from './tool-store.ts';
import { isWithin } from './versions.ts';

/** Built and downloaded version. Later tags need replace directives, which `go install` refuses. */
export const temporalCliVersion = '1.5.1';
/** Priorities of task queues, which order the builds, exist from this server on (design §1). */
const minimumServer = '1.29.0';

export interface TemporalCliOptions extends ToolContext {
  /** TEMPORAL_CLI_PATH: this file and no other. */
  readonly configuredPath?: string | undefined;
  /** Where releases lie: `<base>/v<version>/<file>`. */
  readonly releases?: string;
}

/** Version of the server inside a Temporal CLI (`temporal version 1.5.1 (Server 1.29.1, UI 2.42.1)`), null when it does not run. */
async function serverVersion(path: string, env: NodeJS.ProcessEnv): Promise<string | null> {
  try {
    const { code, stdout } = await run(path, ['--version'], { env, timeoutMs: 30_000 });
    const match = /Server (\d+\.\d+\.\d+)/.exec(stdout);
    return code === 0 && match !== null ? (match[1] ?? null) : null;
  } catch {
    return null;
  }
}

/**
 * The Temporal CLI with a dev server that knows priorities: TEMPORAL_CLI_PATH → PATH → .tools → the user's cache → official
 * download with checksum → `go install`. Throws SetupFailure. Source: design §4.
 */
export async function resolveTemporalCli(options: TemporalCliOptions): Promise<ResolvedTool> {
  const { configuredPath, dirs, env, path, progress } = options;
  if (configuredPath !== undefined && configuredPath !== '') {
    const version = await serverVersion(configuredPath, env);
    if (version === null || !isWithin(version, minimumServer))
      throw new SetupFailure(
        `TEMPORAL_CLI_PATH=${configuredPath} ${version === null ? 'is not a Temporal CLI that runs here' : `has server ${version}, ${minimumServer} or later is needed`}`,
        'unset TEMPORAL_CLI_PATH to let the set-up find or build one, or point it to Temporal CLI 1.5 or later',
      );
    return { path: configuredPath, version, source: 'configured' };
  }
  for (const candidate of findOnPath('temporal', path)) {
    const version = await serverVersion(candidate, env);
    if (version !== null && isWithin(version, minimumServer)) return { path: candidate, version, source: 'path' };
    progress.note(`${candidate} is not used: ${version === null ? 'it does not run' : `server ${version} is too old`}`);
  }
  const relative = join('temporal', temporalCliVersion, currentPlatform().id, `temporal${currentPlatform().exe}`);
  const stored = findStored(dirs, relative);
  if (stored !== null) return { ...stored, version: (await serverVersion(stored.path, env)) ?? temporalCliVersion };

  return progress.step(
    `Temporal CLI ${temporalCliVersion}`,
    (step) =>
      withLock(
        lockPath(dirs, 'temporal'),
        async () => {
          const meanwhile = findStored(dirs, relative);
          const fetched =
            meanwhile ??
            (await withScratch(dirs, async (scratch) => {
              const { file, source } = await obtain(options, scratch, step);
              return { path: store(dirs, relative, file), source };
            }));
          const version = await serverVersion(fetched.path, env);
          if (version === null)
            throw new SetupFailure(`${fetched.path} does not run on this machine`, 'set TEMPORAL_CLI_PATH');
          return { ...fetched, version };
        },
        (by) => step.update(`waiting for process ${by.pid}, which is getting it`),
      ),
    (tool) => (tool.source === 'go' ? 'built with Go' : tool.source),
  );
}

async function obtain(
  options: TemporalCliOptions,
  scratch: string,
  step: Step,
): Promise<{ file: string; source: 'download' | 'go' }> {
  const { os, arch, exe } = currentPlatform();
  const base = `${options.releases ?? 'https://github.com/temporalio/cli/releases/download'}/v${temporalCliVersion}`;
  const url = `${base}/temporal_cli_${temporalCliVersion}_${os}_${arch}.tar.gz`;
  const file = join(scratch, `temporal${exe}`);
  let offline: string;
  try {
    step.update('downloading the official release');
    const archive = join(scratch, 'archive');
    await downloadVerified({
      url,
      checksumsUrl: `${base}/checksums.txt`,
      into: archive,
      ...(options.limits !== undefined && { limits: options.limits }),
      onProgress: (received, total) =>
        step.update(
          `downloading ${Math.round(received / 1e6)}${total === null ? '' : ` of ${Math.round(total / 1e6)}`} MB`,
        ),
    });
    await extractMember(archive, `temporal${exe}`, file);
    return { file, source: 'download' };
  } catch (err) {
    if (err instanceof SetupFailure) throw err;
    offline = messageOf(err);
  }
  const go = findGo(options);
  if (go === null)
    throw new SetupFailure(
      `no Temporal CLI: none on PATH, ${url} cannot be had (${offline}), and there is no Go to build it`,
      'install Temporal CLI 1.5 or later (https://docs.temporal.io/cli) or Go, set TEMPORAL_CLI_PATH, or use an existing server with TEMPORAL_ADDRESS',
    );
  step.update('no download from here; building with Go, about 3 minutes on two cores');
  const program = {
    package: 'github.com/temporalio/cli/cmd/temporal',
    version: `v${temporalCliVersion}`,
    binary: `temporal${exe}`,
    ldflags: `-X github.com/temporalio/cli/temporalcli.Version=${temporalCliVersion}`,
  };
  return {
    file: await buildWithGo(options, { go, program, folder: scratch, onLine: (line) => step.update(`Go: ${line}`) }),
    source: 'go',
  };
}
