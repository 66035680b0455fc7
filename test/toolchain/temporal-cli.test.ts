import { readFileSync, readdirSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { SetupFailure } from '../../toolchain/failure.ts';
import { currentPlatform } from '../../toolchain/platform.ts';
import { resolveTemporalCli, temporalCliVersion } from '../../toolchain/temporal-cli.ts';
import {
  fakeExecutable,
  fakeTemporal,
  readLines,
  serveFiles,
  sha256,
  tarGzWith,
  toolContextFor,
  unreachable,
} from './fixtures.ts';
import type { TestContext } from './fixtures.ts';

const { os, arch, id } = currentPlatform();
const archiveName = `temporal_cli_${temporalCliVersion}_${os}_${arch}.tar.gz`;
const stored = ({ dirs }: TestContext): string => join(dirs.tools, 'temporal', temporalCliVersion, id, 'temporal');
const cached = ({ dirs }: TestContext): string =>
  join(dirs.cache ?? '', 'temporal', temporalCliVersion, id, 'temporal');

/** A `go` that "builds" a CLI after a while and notes each call. */
const fakeGo = (context: TestContext, seconds = '0'): string =>
  fakeExecutable(
    join(context.bin, 'go'),
    `echo "$@" >> ${context.root}/go-calls
/bin/sleep ${seconds}
printf '#!/bin/sh\\necho "temporal version 1.5.1 (Server 1.29.1, UI 2.42.1)"\\n' > "$GOBIN/temporal"
/bin/chmod +x "$GOBIN/temporal"`,
  );

test('the configured path wins over every other source', async () => {
  const context = toolContextFor();
  fakeTemporal(join(context.bin, 'temporal'), '1.30.0');
  const configuredPath = fakeTemporal(join(context.root, 'mine'), '1.29.0');
  const tool = await resolveTemporalCli({ ...context, configuredPath, releases: unreachable });
  expect(tool).toEqual({ path: configuredPath, version: '1.29.0', source: 'configured' });
});

test('a configured path that cannot be used is an error, not a reason to look elsewhere', async () => {
  const context = toolContextFor();
  fakeTemporal(join(context.bin, 'temporal'), '1.30.0');
  const old = fakeTemporal(join(context.root, 'old'), '1.24.2');
  await expect(resolveTemporalCli({ ...context, configuredPath: old })).rejects.toThrow(
    /server 1\.24\.2, 1\.29\.0 or later/,
  );
  await expect(resolveTemporalCli({ ...context, configuredPath: '/nowhere' })).rejects.toThrow(/not a Temporal CLI/);
});

test('a usable CLI on PATH is taken, one that is too old is named and passed over', async () => {
  const context = toolContextFor();
  const newer = fakeTemporal(join(context.root, 'second', 'temporal'), '1.31.0');
  fakeTemporal(join(context.bin, 'temporal'), '1.22.0');
  const tool = await resolveTemporalCli({ ...context, path: `${context.bin}:${join(context.root, 'second')}` });
  expect(tool).toEqual({ path: newer, version: '1.31.0', source: 'path' });
  expect(context.output.join('')).toContain('server 1.22.0 is too old');
});

test('without one on PATH the copy in .tools is used, then that of the shared cache', async () => {
  const context = toolContextFor();
  fakeTemporal(cached(context), '1.29.1');
  const fromCache = await resolveTemporalCli({ ...context, releases: unreachable });
  expect(fromCache).toEqual({ path: stored(context), version: '1.29.1', source: 'cache' });
  // Now it is this clone's own: the cache may go.
  const again = await resolveTemporalCli({ ...context, dirs: { tools: context.dirs.tools }, releases: unreachable });
  expect(again.source).toBe('tools');
});

test('the official release is downloaded, verified and kept for other clones', async () => {
  const context = toolContextFor();
  const binary = Buffer.from('#!/bin/sh\necho "temporal version 1.5.1 (Server 1.29.1, UI 2.42.1)"\n');
  const archive = await tarGzWith('temporal', binary);
  const { url } = await serveFiles({
    [`/v${temporalCliVersion}/${archiveName}`]: archive,
    [`/v${temporalCliVersion}/checksums.txt`]: `${sha256(archive)}  ${archiveName}\n`,
  });
  const tool = await resolveTemporalCli({ ...context, releases: url });
  expect(tool).toEqual({ path: stored(context), version: '1.29.1', source: 'download' });
  expect(readFileSync(cached(context))).toEqual(binary);
  expect(readdirSync(join(context.dirs.tools, 'tmp'))).toEqual([]);
});

test('a download with another checksum is refused, and nothing else is tried', async () => {
  const context = toolContextFor();
  fakeGo(context);
  const archive = await tarGzWith('temporal', Buffer.from('#!/bin/sh\necho evil\n'));
  const { url } = await serveFiles({
    [`/v${temporalCliVersion}/${archiveName}`]: archive,
    [`/v${temporalCliVersion}/checksums.txt`]: `${'0'.repeat(64)}  ${archiveName}\n`,
  });
  await expect(resolveTemporalCli({ ...context, releases: url })).rejects.toThrow(/SHA-256 .* the file is refused/s);
  expect(() => statSync(stored(context))).toThrow(/ENOENT/);
  expect(() => statSync(join(context.root, 'go-calls'))).toThrow(/ENOENT/);
});

test('on a closed network the CLI is built with Go at the pinned version', async () => {
  const context = toolContextFor();
  fakeGo(context);
  const tool = await resolveTemporalCli({ ...context, releases: unreachable });
  expect(tool).toEqual({ path: stored(context), version: '1.29.1', source: 'go' });
  expect(readLines(join(context.root, 'go-calls'))[0]).toContain(
    `github.com/temporalio/cli/cmd/temporal@v${temporalCliVersion}`,
  );
});

test('two set-ups at once build only once', async () => {
  const context = toolContextFor();
  fakeGo(context, '0.5');
  const both = await Promise.all([
    resolveTemporalCli({ ...context, releases: unreachable }),
    resolveTemporalCli({ ...context, releases: unreachable }),
  ]);
  expect(both.map(({ source }) => source).toSorted()).toEqual(['go', 'tools']);
  expect(readLines(join(context.root, 'go-calls'))).toHaveLength(1);
});

test('a failed build shows what Go said and the command to try', async () => {
  const context = toolContextFor();
  fakeExecutable(join(context.bin, 'go'), 'echo "no space left on device" >&2; exit 3');
  const failure = await resolveTemporalCli({ ...context, releases: unreachable }).catch((err: unknown) => err);
  expect(failure).toBeInstanceOf(SetupFailure);
  expect((failure as SetupFailure).message).toContain('no space left on device');
  expect((failure as SetupFailure).fix).toContain('go install github.com/temporalio/cli/cmd/temporal@');
});

test('an answer that never comes does not hold the set-up longer than the limit', async () => {
  const context = toolContextFor();
  fakeGo(context);
  const silent = createServer(() => undefined);
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  const { port } = silent.address() as { port: number };
  const started = Date.now();
  const tool = await resolveTemporalCli({ ...context, releases: `http://127.0.0.1:${port}` });
  silent.close();
  expect(tool.source).toBe('go');
  expect(Date.now() - started).toBeLessThan(5_000);
});
