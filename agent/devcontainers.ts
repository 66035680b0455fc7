import { existsSync } from 'node:fs';
import { type UpOutcome, configCandidates, parseUpOutcome, upArguments } from './devcontainer-rules.ts';
import { expandPath } from './expand.ts';
import { messageOf } from './log.ts';
import type { ManifestDevcontainer, ManifestScript, ScriptTiming } from './protocol.ts';
import { type CommandResult, runCommand } from './run-command.ts';
import type { ScriptOutputs } from './script-output.ts';
import { findOnPath } from './shell.ts';
import type { SubAgent, SubAgents } from './sub-agents.ts';

export interface DevcontainerState {
  readonly status: 'running' | 'stopped' | 'starting' | 'error';
  readonly error: string;
  readonly containerId: string;
  readonly agent: SubAgent | null;
}

export interface Devcontainers {
  /** Brings all of them up; each is a start script that may fail. */
  readonly start: () => Promise<readonly Pick<CommandResult, 'status' | 'exitCode'>[]>;
  readonly list: () => readonly { readonly row: ManifestDevcontainer; readonly state: DevcontainerState }[];
  /** Begins to rebuild. Throws Error (`NOT_FOUND: …`, `CONFLICT: …`) when it is unknown or starting already. */
  readonly recreate: (id: string) => void;
  /** Removes its agent and the container. Throws as `recreate`. */
  readonly remove: (id: string) => Promise<void>;
}

export interface DevcontainersOptions {
  readonly devcontainers: readonly ManifestDevcontainer[];
  /** A dev container's log source is that of the empty script which bears its id. */
  readonly scripts: readonly ManifestScript[];
  readonly outputs: ScriptOutputs;
  readonly subAgents: SubAgents;
  readonly env: () => Record<string, string>;
  readonly home: string;
  readonly killGraceMs: number;
  readonly openPipesMs: number;
  readonly report: (timing: ScriptTiming) => void;
  readonly signal: AbortSignal;
}

const stopped: DevcontainerState = { status: 'stopped', error: '', containerId: '', agent: null };
/** The last line holds the result; output before it may be long. */
const keptOutput = 64 * 1024;

/** Dev containers of a top-level agent, by the devcontainer tool of the workspace. Source: spec/05 §13. */
export function createDevcontainers(options: DevcontainersOptions): Devcontainers {
  const { devcontainers, subAgents, home, signal } = options;
  const states = new Map(devcontainers.map(({ id }) => [id, stopped]));
  const stateOf = (id: string): DevcontainerState => states.get(id) ?? stopped;
  const set = (id: string, change: Partial<DevcontainerState>): void =>
    void states.set(id, { ...stateOf(id), ...change });
  const rowOf = (id: string): ManifestDevcontainer => {
    const row = devcontainers.find((each) => each.id === id);
    if (row === undefined) throw new Error('NOT_FOUND: no such dev container');
    if (stateOf(id).status === 'starting') throw new Error('CONFLICT: the dev container is starting');
    return row;
  };

  /** Tool, folder and configuration. Throws Error that names what is missing. */
  function find(row: ManifestDevcontainer, env: Record<string, string>) {
    const folder = expandPath(row.workspace_folder, { home, env });
    const tool = findOnPath('devcontainer', env['PATH'] ?? '');
    if (tool === null) throw new Error('the command devcontainer (@devcontainers/cli) is not on the PATH');
    if (!existsSync(folder)) throw new Error(`the folder ${folder} does not exist`);
    const candidates = configCandidates(folder, row.config_path);
    const config = candidates.find((path) => existsSync(path));
    if (config === undefined) throw new Error(`there is no devcontainer configuration (${candidates.join(', ')})`);
    return { folder, tool, config: row.config_path === '' ? null : config };
  }

  async function up(row: ManifestDevcontainer, recreate: boolean): Promise<Pick<CommandResult, 'status' | 'exitCode'>> {
    set(row.id, { status: 'starting', error: '' });
    const script = options.scripts.find(({ id }) => id === row.id);
    const output = script === undefined ? null : options.outputs.open(script);
    const startedAt = new Date();
    let result: Pick<CommandResult, 'status' | 'exitCode'> = { status: 'exit_failure', exitCode: 1 };
    try {
      const env = options.env();
      const { folder, tool, config } = find(row, env);
      let stdout = '';
      result = await runCommand({
        file: tool,
        args: upArguments(folder, { config, recreate }),
        env,
        cwd: folder,
        timeoutMs: 0,
        killGraceMs: options.killGraceMs,
        openPipesMs: options.openPipesMs,
        signal,
        onOutput(stream, chunk) {
          if (stream === 'stdout') stdout = (stdout + chunk.toString('utf8')).slice(-keptOutput);
          // The tool tells its progress on stderr; only the outcome is an error.
          output?.onOutput('stdout', chunk);
        },
      });
      if (result.exitCode !== 0) throw new Error(`devcontainer up ended with ${result.exitCode}`);
      await attachAgent(row, parseUpOutcome(stdout));
    } catch (err) {
      const error = messageOf(err);
      set(row.id, { status: 'error', error });
      output?.note('error', `dev container ${row.name}: ${error}`);
    } finally {
      output?.end();
    }
    options.report({
      script_id: row.id,
      started_at: startedAt.toISOString(),
      ended_at: new Date(Math.max(Date.now(), startedAt.getTime())).toISOString(),
      exit_code: result.exitCode,
      stage: 'start',
      status: result.status,
    });
    return result;
  }

  async function attachAgent(
    row: ManifestDevcontainer,
    { containerId, remoteWorkspaceFolder }: UpOutcome,
  ): Promise<void> {
    set(row.id, { containerId });
    const agent = await subAgents.create(row, remoteWorkspaceFolder);
    set(row.id, { status: 'running', agent });
  }

  /** A declared agent keeps its id and token; one of our own goes with its container. */
  async function removeAgent(row: ManifestDevcontainer): Promise<void> {
    const { agent } = stateOf(row.id);
    set(row.id, { agent: null });
    if (agent !== null && row.subagent_id === null) await subAgents.remove(agent.id);
  }

  return {
    start: () => Promise.all(devcontainers.map((row) => up(row, false))),
    list: () => devcontainers.map((row) => ({ row, state: stateOf(row.id) })),
    recreate(id) {
      const row = rowOf(id);
      set(id, { status: 'starting' });
      void removeAgent(row).then(() => up(row, true));
    },
    async remove(id) {
      const row = rowOf(id);
      const { containerId } = stateOf(id);
      await removeAgent(row);
      const env = options.env();
      const docker = findOnPath('docker', env['PATH'] ?? '');
      if (docker !== null && containerId !== '')
        await runCommand({
          file: docker,
          args: ['rm', '--force', containerId],
          env,
          cwd: home,
          timeoutMs: 20_000,
          killGraceMs: options.killGraceMs,
          openPipesMs: options.openPipesMs,
          onOutput: () => undefined,
        });
      set(id, stopped);
    },
  };
}
