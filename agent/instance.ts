import { statSync } from 'node:fs';
import { startAppHealth } from './app-health.ts';
import { type Devcontainers, createDevcontainers } from './devcontainers.ts';
import { commandEnvironment } from './environment.ts';
import { expandPath } from './expand.ts';
import { instanceKey, isTopLevel } from './instance-key.ts';
import { createLifecycleReporter } from './lifecycle-reporter.ts';
import { scriptsOutcome, stateAfter } from './lifecycle.ts';
import { type Log, messageOf } from './log.ts';
import { createLogSender } from './log-sender.ts';
import { startMetadata } from './metadata.ts';
import type { LifecycleState, LogLevel, Manifest, ScriptTiming, StartupReport } from './protocol.ts';
import { createReports } from './reports.ts';
import { startResourceMonitors } from './resource-monitors.ts';
import { createScriptOutputs } from './script-output.ts';
import { createScripts } from './scripts.ts';
import { writeSecretFiles } from './secret-files.ts';
import { type SecretPlacement, planSecrets } from './secret-placement.ts';
import type { ServerClient } from './server-client.ts';
import type { Settings } from './settings.ts';
import { reportStats } from './stats.ts';
import { createSubAgents } from './sub-agents.ts';
import type { Times } from './times.ts';
import type { TokenSource } from './token-source.ts';

export interface InstanceDeps {
  readonly settings: Settings;
  readonly times: Times;
  readonly client: ServerClient;
  readonly token: TokenSource;
  readonly log: Log;
  readonly version: string;
  readonly home: string;
  readonly processEnv: Readonly<Record<string, string | undefined>>;
  /** Where scripts keep their data; `bin` below it is first on the PATH. */
  readonly dataDir: string;
  readonly binDir: string;
  readonly executable: string;
}

/**
 * `graceful`: reported, output sent. `silent`: stop scripts run, but nothing is reported, because the token may stand for
 * another agent row by now (spec/05 §14).
 */
export type CloseMode = 'graceful' | 'silent';

export interface Instance {
  readonly key: string;
  readonly ownerId: string;
  readonly lifecycle: () => LifecycleState | undefined;
  readonly devcontainers: Devcontainers | null;
  readonly env: () => Record<string, string>;
  readonly cwd: () => string;
  /** A newer manifest of the same instance: secrets may have changed (spec/05 §3). */
  readonly refresh: (manifest: Manifest) => void;
  /** Stop scripts run once, whoever asks first decides how. Never rejects. */
  readonly close: (mode: CloseMode) => Promise<void>;
}

/** Lines that belong to no script; the server makes the source (spec/05 §8). */
const noSource = '00000000-0000-0000-0000-000000000000';

/** One manifest at work: secrets, scripts, reports, from `starting` to `off`. Source: spec/05 §3–§13. */
export function startInstance(first: Manifest, deps: InstanceDeps): Instance {
  const { settings, times, client, log, home, processEnv, dataDir, binDir } = deps;
  const logs = createLogSender({ client, flushMs: times.logFlushMs, backoff: times.logs, log });
  const lifecycle = createLifecycleReporter({ client, backoff: times.lifecycle, log });
  const reports = createReports({ client, backoff: times.lifecycle, log });
  /** Metadata, stats, health, monitors: what ends first. */
  const background = new AbortController();
  const note = (level: LogLevel, text: string): void => logs.add(noSource, level, text);
  const directory = expandPath(first.directory, { home, env: processEnv });
  // The values stay out of the manifest that everything else sees.
  let { manifest, secrets } = takeSecrets(first, home);

  const env = (): Record<string, string> =>
    commandEnvironment({
      manifest,
      processEnv,
      url: settings.url,
      token: deps.token.current(),
      agentExecutable: deps.executable,
      binDir,
      secrets: secrets.env,
      platform: process.platform,
    });
  const cwd = (): string =>
    directory !== '' && statSync(directory, { throwIfNoEntry: false })?.isDirectory() === true ? directory : home;
  const writeSecrets = (): void => {
    for (const warning of secrets.warnings) note('warn', warning);
    writeSecretFiles(secrets.files, { home, note });
  };
  const report = (timing: ScriptTiming): void =>
    reports.send({ method: 'POST', path: '/workspaceagents/me/script-timings', body: timing });

  const outputs = createScriptOutputs({ logDir: settings.logDir, home, processEnv, logs, log });
  const { killGraceMs, openPipesMs } = times;
  const common = { outputs, env, killGraceMs, openPipesMs, report };
  const scripts = createScripts({ ...common, scripts: manifest.scripts, dataDir, binDir, cwd, log });
  const { signal } = background;
  const devcontainers =
    settings.devcontainers && isTopLevel(manifest)
      ? createDevcontainers({
          ...common,
          devcontainers: manifest.devcontainers,
          scripts: manifest.scripts,
          subAgents: createSubAgents({ client, backoff: times.lifecycle, log, signal }),
          home,
          signal,
        })
      : null;

  async function run(): Promise<void> {
    writeSecrets();
    lifecycle.push('starting');
    reports.send({ method: 'POST', path: '/workspaceagents/me/startup', body: startupReport(deps, directory) });
    startMetadata({ metadata: manifest.metadata, client, tickMs: times.metadataTickMs, env, cwd, log, signal });
    startAppHealth({ apps: manifest.apps, client, tickMs: times.healthTickMs, log, signal });
    startResourceMonitors({ monitoring: manifest.resources_monitoring, client, log, signal });
    void reportStats({ client, intervalMs: manifest.stats_interval_seconds * 1000, signal });
    const runs = await scripts.run('start');
    // They may have installed the tool that the dev containers need.
    const containers = closing === null ? ((await devcontainers?.start()) ?? []) : [];
    if (closing !== null) return;
    lifecycle.push(stateAfter('start', scriptsOutcome([...runs, ...containers])));
    scripts.startCron();
  }

  function mute(): void {
    lifecycle.stop();
    reports.stop();
    logs.stop();
  }

  async function close(): Promise<void> {
    lifecycle.push('shutting_down');
    background.abort();
    scripts.interrupt();
    const runs = await scripts.run('stop');
    await running;
    lifecycle.push(stateAfter('stop', scriptsOutcome(runs)));
    const ms = times.finalFlushMs;
    await Promise.all([lifecycle.flush(ms), logs.flush(ms), reports.flush(ms)]);
  }

  let closing: Promise<void> | null = null;
  const running = run().catch((err: unknown) => log.warn(`the start failed: ${messageOf(err)}`));

  return {
    key: instanceKey(manifest),
    ownerId: manifest.owner_id,
    lifecycle: lifecycle.last,
    devcontainers,
    env,
    cwd,
    refresh(next) {
      if (closing !== null) return;
      ({ manifest, secrets } = takeSecrets(next, home));
      writeSecrets();
    },
    close(mode) {
      // Also when it is closed already: what could not be reported by now must not reach the next instance's row.
      if (mode === 'silent') mute();
      return (closing ??= close().catch((err: unknown) => log.warn(`the shutdown failed: ${messageOf(err)}`)));
    },
  };
}

function takeSecrets(manifest: Manifest, home: string): { manifest: Manifest; secrets: SecretPlacement } {
  return { manifest: { ...manifest, secrets: [] }, secrets: planSecrets(manifest.secrets, home) };
}

const startupReport = ({ version, settings }: InstanceDeps, directory: string): StartupReport => ({
  version,
  expanded_directory: directory,
  subsystems: [...new Set(settings.subsystems)].toSorted(),
});
