import { join } from 'node:path';
import { SetupFailure } from './failure.ts';
import { run } from './process.ts';
import type { ToolContext } from './tool-context.ts';
import { findOnPath, isExecutable } from './tool-store.ts';

export interface GoProgram {
  /** Import path of the main package, e.g. `github.com/temporalio/cli/cmd/temporal`. */
  readonly package: string;
  readonly version: string;
  /** Name that `go install` gives the executable. */
  readonly binary: string;
  readonly ldflags?: string;
}

/** The `go` command: PATH first, then the place where its installer puts it. Null when there is none. */
export const findGo = ({ path, goPlaces = ['/usr/local/go/bin/go'] }: ToolContext): string | null =>
  findOnPath('go', path)[0] ?? goPlaces.find(isExecutable) ?? null;

/**
 * Builds a published program with `go install` into `folder` and returns the executable. Checksums are those of Go's own
 * checksum database. Throws SetupFailure with the last lines of Go's output.
 */
export async function buildWithGo(
  context: ToolContext,
  { go, program, folder, onLine }: { go: string; program: GoProgram; folder: string; onLine: (line: string) => void },
): Promise<string> {
  const target = `${program.package}@${program.version}`;
  const result = await run(
    go,
    ['install', '-v', '-trimpath', '-ldflags', `-s -w ${program.ldflags ?? ''}`.trim(), target],
    {
      // No C compiler is assumed; GOOS and GOARCH of a cross-compiling shell would put the file elsewhere.
      env: { ...context.env, GOBIN: folder, CGO_ENABLED: '0', GOOS: '', GOARCH: '', GOFLAGS: '-buildvcs=false' },
      onLine,
      timeoutMs: 30 * 60_000,
    },
  );
  const built = join(folder, program.binary);
  if (result.code !== 0 || !isExecutable(built)) {
    const tail = result.stderr.trim().split('\n').slice(-6).join('\n    ');
    throw new SetupFailure(
      `building ${target} with Go failed (exit ${result.code ?? result.signal}):\n    ${tail}`,
      `check that this works: ${go} install ${target}`,
    );
  }
  return built;
}
