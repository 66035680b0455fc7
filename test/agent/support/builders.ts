import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { type Agent, createAgent } from '../../../agent/agent.ts';
import { writeExecutable } from '../../../agent/executable.ts';
import { createLog } from '../../../agent/log.ts';
import type { Manifest, ManifestScript } from '../../../agent/protocol.ts';
import { createServerClient } from '../../../agent/server-client.ts';
import { readSettings } from '../../../agent/settings.ts';
import { type Times, defaultTimes } from '../../../agent/times.ts';
import { createTokenSource } from '../../../agent/token-source.ts';
import { type FakeServer, startFakeServer } from './fake-server.ts';

/** Everything a hundred times as fast. */
export const fastTimes: Times = {
  ...defaultTimes,
  connect: { minMs: 5, maxMs: 100 },
  supersededWaitMs: 50,
  manifest: { minMs: 10, maxMs: 50 },
  lifecycle: { minMs: 10, maxMs: 50 },
  logs: { minMs: 10, maxMs: 50 },
  reinit: { minMs: 10, maxMs: 50 },
  newOwnerWithinMs: 2000,
  logFlushMs: 10,
  finalFlushMs: 1000,
  killGraceMs: 300,
  openPipesMs: 300,
  metadataTickMs: 20,
  healthTickMs: 20,
};

export const emptyManifest = (): Manifest => ({
  agent_id: randomUUID(),
  agent_name: 'main',
  parent_id: '00000000-0000-0000-0000-000000000000',
  owner_id: randomUUID(),
  owner_name: 'ann',
  workspace_id: randomUUID(),
  workspace_name: 'dev',
  build_id: randomUUID(),
  build_number: 1,
  git_auth_configs: 0,
  vscode_port_proxy_uri: '',
  apps: [],
  environment_variables: {},
  directory: '',
  motd_file: '',
  disable_direct_connections: true,
  derp_force_websockets: false,
  derpmap: {},
  metadata: [],
  scripts: [],
  devcontainers: [],
  secrets: [],
  stats_interval_seconds: 30,
  resources_monitoring: { config: { num_datapoints: 20, collection_interval_seconds: 10 }, volumes: [] },
});

/** A start script unless it says otherwise. */
export const script = (text: string, more: Partial<ManifestScript> = {}): ManifestScript => ({
  id: randomUUID(),
  log_source_id: randomUUID(),
  log_path: '',
  script: text,
  cron: '',
  run_on_start: true,
  run_on_stop: false,
  start_blocks_login: false,
  timeout: 0,
  display_name: 'script',
  ...more,
});
export const stopScript = (text: string): ManifestScript => script(text, { run_on_start: false, run_on_stop: true });

export interface TestAgent {
  readonly agent: Agent;
  readonly server: FakeServer;
  readonly home: string;
  readonly logDir: string;
  /** The agent's own diagnostics. */
  readonly diagnostics: string[];
  readonly exitCode: Promise<number>;
}

export function temporaryDirectory(): string {
  const path = mkdtempSync(join(tmpdir(), 'berth-agent-test-'));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

export async function fakeServer(manifest: Partial<Manifest> = {}): Promise<FakeServer> {
  const server = await startFakeServer({ ...emptyManifest(), ...manifest });
  onTestFinished(() => server.close());
  return server;
}

/** An agent at work against a server of its own, in a home of its own; both end with the test. */
export async function startAgent(
  manifest: Partial<Manifest> = {},
  options: {
    readonly env?: Readonly<Record<string, string>>;
    readonly times?: Partial<Times>;
    readonly server?: FakeServer;
    readonly home?: string;
  } = {},
): Promise<TestAgent> {
  const server = options.server ?? (await fakeServer(manifest));
  const home = options.home ?? temporaryDirectory();
  const logDir = temporaryDirectory();
  const processEnv = {
    PATH: process.env['PATH'] ?? '',
    HOME: home,
    CODER_AGENT_URL: server.url,
    CODER_AGENT_TOKEN: 'b7c2a3de-0000-4000-8000-000000000001',
    CODER_AGENT_RECONNECT_SPREAD: '20ms',
    CODER_AGENT_LOG_DIR: logDir,
    ...options.env,
  };
  const settings = readSettings(processEnv);
  const times = { ...fastTimes, ...options.times };
  const diagnostics: string[] = [];
  const log = createLog((line) => void diagnostics.push(line));
  const token = createTokenSource(settings, 2000);
  const client = createServerClient({ url: settings.url, token, timeoutMs: 2000, log });
  const dataDir = join(home, '.coder-agent');
  const binDir = join(dataDir, 'bin');
  const executable = writeExecutable(binDir, [process.execPath], process.platform);
  const agent = createAgent({
    settings,
    times,
    client,
    token,
    log,
    version: 'v1.2.3',
    home,
    processEnv,
    dataDir,
    binDir,
    executable,
  });
  const exitCode = agent.run();
  onTestFinished(async () => {
    await agent.shutdown();
    await exitCode;
  });
  return { agent, server, home, logDir, diagnostics, exitCode };
}
