import { basename, isAbsolute, join } from 'node:path';

/** Name of the agent inside a container, from its folder. Source: spec/05 §13 "Name". */
export function subAgentName(folder: string, attempt = 1): string {
  const words = basename(folder)
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-+|-+$/g, '');
  const suffix = attempt === 1 ? '' : `-${attempt}`;
  const name = (words || 'devcontainer').slice(0, 64 - suffix.length).replace(/-+$/, '');
  return name + suffix;
}

/** Files of which one has to exist: the given one, or where the devcontainer tool looks itself. */
export const configCandidates = (folder: string, configPath: string): readonly string[] =>
  configPath === ''
    ? [join(folder, '.devcontainer', 'devcontainer.json'), join(folder, '.devcontainer.json')]
    : [isAbsolute(configPath) ? configPath : join(folder, configPath)];

export const upArguments = (
  folder: string,
  { config, recreate }: { readonly config: string | null; readonly recreate: boolean },
): readonly string[] => [
  'up',
  '--workspace-folder',
  folder,
  ...(config === null ? [] : ['--config', config]),
  // Without it a running container is adopted as it is.
  ...(recreate ? ['--remove-existing-container'] : []),
];

export interface UpOutcome {
  readonly containerId: string;
  readonly remoteWorkspaceFolder: string;
}

/** The tool's result: the last line of its standard output that is a JSON object with an outcome. */
export function parseUpOutcome(stdout: string): UpOutcome {
  for (const line of stdout.trim().split('\n').toReversed()) {
    try {
      const found = JSON.parse(line) as Partial<UpOutcome> & { outcome?: string };
      if (found.outcome === 'success')
        return { containerId: found.containerId ?? '', remoteWorkspaceFolder: found.remoteWorkspaceFolder ?? '' };
    } catch {
      // Not the result.
    }
  }
  return { containerId: '', remoteWorkspaceFolder: '' };
}
