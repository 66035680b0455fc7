import { runCommand } from './run-command.ts';
import { findOnPath } from './shell.ts';

export interface Container {
  readonly id: string;
  readonly name: string;
  readonly image: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly running: boolean;
  readonly status: string;
  readonly created_at: string;
}

/** One line of `docker ps --format '{{json .}}'`; null when it is none. */
export function parseContainer(line: string): Container | null {
  try {
    const row = JSON.parse(line) as Partial<Record<string, string>>;
    const labels = (row['Labels'] ?? '').split(',').filter((label) => label.includes('='));
    return {
      id: row['ID'] ?? '',
      name: row['Names'] ?? '',
      image: row['Image'] ?? '',
      labels: Object.fromEntries(
        labels.map((label) => [label.slice(0, label.indexOf('=')), label.slice(label.indexOf('=') + 1)]),
      ),
      running: row['State'] === 'running',
      status: row['Status'] ?? '',
      created_at: row['CreatedAt'] ?? '',
    };
  } catch {
    return null;
  }
}

/** Containers that the workspace's docker knows; a reason when there is none to ask. Source: spec/05 §13. */
export async function listContainers(
  env: Readonly<Record<string, string>>,
  cwd: string,
): Promise<{ containers: Container[]; warnings: string[] }> {
  const docker = findOnPath('docker', env['PATH'] ?? '');
  if (docker === null) return { containers: [], warnings: ['the command docker is not on the PATH'] };
  let stdout = '';
  const { exitCode } = await runCommand({
    file: docker,
    args: ['ps', '--all', '--no-trunc', '--format', '{{json .}}'],
    env,
    cwd,
    timeoutMs: 10_000,
    killGraceMs: 1000,
    openPipesMs: 1000,
    onOutput(stream, chunk) {
      if (stream === 'stdout') stdout += chunk.toString('utf8');
    },
  });
  if (exitCode !== 0) return { containers: [], warnings: [`docker ps ended with ${exitCode}`] };
  const found = stdout.trim().split('\n').map(parseContainer);
  return { containers: found.filter((container) => container !== null), warnings: [] };
}
