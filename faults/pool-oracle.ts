import type { Finding } from './oracle.ts';

/** A workspace of a pool's template and its newest build. */
export interface PoolRow {
  readonly id: string;
  /** It still belongs to the pool. */
  readonly isPrebuild: boolean;
  readonly claimed: boolean;
  readonly deleted: boolean;
  readonly transition: 'start' | 'stop' | 'delete';
  readonly versionId: string;
  readonly status: string;
  readonly over: boolean;
  readonly error: string;
}

/** What one change of a pool asks for, exactly. */
export interface PoolChange {
  readonly created: number;
  readonly removed: number;
  readonly claimed: number;
}

const isLive = ({ isPrebuild, deleted }: PoolRow): boolean => isPrebuild && !deleted;

/** No build is going on, and the pool has as many running prebuilds as it is to have, of its active version alone. */
export function isAtRest(rows: readonly PoolRow[], wanted: { versionId: string; size: number }): boolean {
  const live = rows.filter(isLive);
  return (
    rows.every(({ over }) => over) &&
    live.length === wanted.size &&
    live.every(
      ({ transition, status, versionId }) =>
        transition === 'start' && status === 'succeeded' && versionId === wanted.versionId,
    )
  );
}

export const describeRows = (rows: readonly PoolRow[]): string =>
  rows
    .filter(({ deleted }) => !deleted)
    .map(({ id, isPrebuild, transition, status, error }) => {
      const kind = isPrebuild ? 'prebuild' : 'workspace';
      return `${kind} ${id.slice(0, 8)} ${transition} ${status}${error === '' ? '' : ` (${error.slice(0, 80)})`}`;
    })
    .join(', ') || 'nothing';

/**
 * Between two rests a pool was changed once: then just as many prebuilds were made, removed and given away as that asks for. One
 * too many that is removed again is a duplicate as well: its resources were there.
 */
export function judgeChange(before: readonly PoolRow[], after: readonly PoolRow[], change: PoolChange): Finding[] {
  const findings: Finding[] = [];
  const known = new Set(before.map(({ id }) => id));
  const now = new Map(after.map((row) => [row.id, row]));
  const made = after.filter(({ id }) => !known.has(id));
  const had = before.filter(isLive);
  const claimed = had.filter(({ id }) => now.get(id)?.claimed === true).length;
  const removed = had.filter(({ id }) => now.get(id)?.deleted === true && now.get(id)?.claimed === false).length;
  const vanished = before.filter(({ id }) => !now.has(id));
  const compare = (
    what: string,
    got: number,
    wanted: number,
    kinds: { more: Finding['kind']; fewer: Finding['kind'] },
  ) => {
    if (got !== wanted)
      findings.push({ kind: got > wanted ? kinds.more : kinds.fewer, what: `${got} ${what} instead of ${wanted}` });
  };
  compare('prebuilds were made', made.length, change.created, { more: 'duplicate', fewer: 'lost' });
  compare('prebuilds were given away', claimed, change.claimed, { more: 'duplicate', fewer: 'lost' });
  compare('prebuilds were removed', removed, change.removed, { more: 'lost', fewer: 'duplicate' });
  for (const { id } of vanished) findings.push({ kind: 'lost', what: `the row of workspace ${id} is gone` });
  for (const { id, isPrebuild } of made)
    if (!isPrebuild)
      findings.push({ kind: 'lost', what: `a claim took no prebuild: workspace ${id} was built instead` });
  return findings;
}

/** Of the workspace of one claim, once its agent is ready and its build is over. */
export interface ClaimFacts {
  readonly claimant: { readonly id: string; readonly name: string; readonly secret: string };
  /** Names or secrets of all the others. */
  readonly strangers: readonly string[];
  readonly ownerId: string;
  readonly wasPrebuild: boolean;
  /** Live workspaces of the claimant with the name that was asked for. */
  readonly namesakes: number;
  readonly builds: readonly {
    readonly number: number;
    readonly initiatorIsOwner: boolean;
    readonly handedOver: boolean;
  }[];
  readonly handsOver: boolean;
  /** Lines of the agent's start script: owner, author, secrets. */
  readonly starts: readonly string[];
  /** What the agent's token is answered now. */
  readonly manifest: { readonly ownerId: string; readonly text: string } | undefined;
}

export const poolStart = 'prebuilds prebuilds ';
export const startFor = ({ name, secret }: ClaimFacts['claimant']): string => `${name} ${name} ${secret}`;

export function judgeClaim(facts: ClaimFacts): Finding[] {
  const { claimant, starts, manifest, builds } = facts;
  const findings: Finding[] = [];
  const wrong = (what: string) => findings.push({ kind: 'wrong', what });
  if (!facts.wasPrebuild) findings.push({ kind: 'lost', what: 'it was given a workspace that was no ready prebuild' });
  if (facts.namesakes !== 1)
    findings.push({ kind: 'duplicate', what: `${facts.namesakes} workspaces came of one claim` });
  if (facts.ownerId !== claimant.id)
    findings.push({ kind: 'two_owners', what: `its owner is ${facts.ownerId}, not ${claimant.id}` });
  const owners = builds.map(({ initiatorIsOwner }) => initiatorIsOwner);
  if (owners.length !== 2 || owners[0] === true || owners[1] !== true)
    wrong(`its builds, oldest first, are the claimant's: ${owners.join(', ')}`);
  if (builds.at(-1)?.handedOver !== facts.handsOver) wrong(`handed over at once: ${builds.at(-1)?.handedOver}`);
  if (starts[0] !== poolStart) wrong(`its agent began in the pool with: ${starts[0]}`);
  const wanted = startFor(claimant);
  const anew = starts.slice(1);
  if (anew.length !== 1) wrong(`its agent began anew ${anew.length} times: ${starts.join(' | ')}`);
  const seen = [...anew.filter((line) => line !== wanted), ...starts.slice(0, 1), manifest?.text ?? ''];
  const strange = facts.strangers.filter((stranger) => seen.some((text) => text.includes(stranger)));
  if (strange.length > 0)
    findings.push({ kind: 'two_owners', what: `seen in it: ${strange.join(', ')}; it is ${claimant.name}'s` });
  for (const line of anew)
    if (line !== wanted) findings.push({ kind: 'two_owners', what: `its agent began for: ${line}` });
  if (manifest?.ownerId !== claimant.id)
    findings.push({ kind: 'two_owners', what: `its manifest is that of ${manifest?.ownerId ?? 'nobody'}` });
  return findings;
}
