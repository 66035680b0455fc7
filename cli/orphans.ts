import type { Colors } from './output.ts';
import type { WorkspaceBuild } from './types.ts';

/** What to do about things that a lost run may have made without recording them: Terraform does not know of them. */
export const orphanAdvice = (name: string): string =>
  `look for them where they run, remove by hand what should not be there, and berth state forget ${name} <address> what the state names and is gone`;

/** The addresses with what to do about them. */
export const orphansText = (
  { workspace_name: name, possible_orphans: orphans }: WorkspaceBuild,
  colors: Colors,
): string =>
  [
    colors.yellow('May exist outside of the state:'),
    ...orphans.map((address) => `  ${address}`),
    orphanAdvice(name),
  ].join('\n');
