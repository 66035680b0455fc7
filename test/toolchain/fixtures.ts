import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { pack } from 'tar-stream';
import { onTestFinished } from 'vitest';
import { ZipFile } from 'yazl';
import { createProgress } from '../../toolchain/progress.ts';
import type { ToolContext } from '../../toolchain/tool-context.ts';

/** A directory that is removed after the test. Everybody may pass through it, as PostgreSQL's account has to. */
export function temporaryDir(): string {
  const dir = mkdtempSync(join(tmpdir(), 'berth-toolchain-'));
  chmodSync(dir, 0o755);
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/** A shell script as a stand-in for an installed tool. */
export function fakeExecutable(path: string, script: string): string {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
  return path;
}
export const fakeTemporal = (path: string, server: string): string =>
  fakeExecutable(path, `echo 'temporal version 9.9.9 (Server ${server}, UI 2.42.1)'`);
export const fakeTerraform = (path: string, version: string, banner = 'Terraform'): string =>
  fakeExecutable(
    path,
    `if [ "$2" = "-json" ]; then echo '{"terraform_version":"${version}"}'; else echo '${banner} v${version}'; fi`,
  );

export interface TestContext extends ToolContext {
  readonly root: string;
  readonly bin: string;
  readonly output: string[];
}
/** Directories, an empty PATH folder and a progress whose lines can be read. Nothing answers on the network. */
export function toolContextFor(root = temporaryDir()): TestContext {
  const bin = join(root, 'bin');
  const output: string[] = [];
  return {
    root,
    bin,
    output,
    dirs: { tools: join(root, 'tools'), cache: join(root, 'cache') },
    path: bin,
    env: { PATH: '/usr/bin:/bin', HOME: root },
    progress: createProgress({ write: (text) => output.push(text), interactive: false }),
    limits: { connectMs: 500, stallMs: 1_000 },
  };
}
/** Port 1 of the loopback interface: refused at once, like a closed network. */
export const unreachable = 'http://127.0.0.1:1';

/** Serves the given files over HTTP until the test ends; returns the base URL and the paths that were asked for. */
export async function serveFiles(
  files: Readonly<Record<string, Buffer | string>>,
): Promise<{ url: string; asked: string[] }> {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(request.url ?? '');
    const body = files[request.url ?? ''];
    if (body === undefined) response.writeHead(404).end();
    else response.end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => new Promise<void>((resolve) => void server.close(() => resolve())));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked };
}

export const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

export async function tarGzWith(name: string, content: Buffer): Promise<Buffer> {
  const archive = pack();
  archive.entry({ name: 'LICENSE' }, 'text');
  archive.entry({ name, mode: 0o755 }, content);
  archive.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of archive) chunks.push(Buffer.from(chunk as Uint8Array));
  return gzipSync(Buffer.concat(chunks));
}

export async function zipWith(name: string, content: Buffer): Promise<Buffer> {
  const archive = new ZipFile();
  archive.addBuffer(Buffer.from('text'), 'LICENSE.txt');
  archive.addBuffer(content, name, { mode: 0o100755 });
  archive.end();
  const chunks: Buffer[] = [];
  for await (const chunk of archive.outputStream) chunks.push(Buffer.from(chunk as Uint8Array));
  return Buffer.concat(chunks);
}

export const readLines = (path: string): string[] => readFileSync(path, 'utf8').trimEnd().split('\n');
