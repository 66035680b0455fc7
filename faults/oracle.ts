import { type Effect, describeEffect } from './ledger.ts';
import type { StoredObject } from './stored-state.ts';

/** What is wrong with a run. `wrong` is every broken promise that is none of those that are counted one by one. */
export interface Finding {
  readonly kind: 'lost' | 'orphan' | 'double_apply' | 'stuck' | 'duplicate' | 'two_owners' | 'wrong';
  readonly what: string;
}

/** What is known of one workspace after one of its builds is over. */
export interface History {
  /** All its effects, in the order of the ledger. */
  readonly effects: readonly Effect[];
  /** Objects of its newest stored state. */
  readonly stored: readonly StoredObject[];
  /** Whether its newest build succeeded; else Terraform was cut short, and what was in progress may be undecided. */
  readonly succeeded: boolean;
  /** Objects that any stored state showed as tainted: they are replaced, and Terraform runs no destroy provisioner for them. */
  readonly tainted: ReadonlySet<string>;
  /** Build → addresses that it lists as possible orphans. */
  readonly possibleOrphans: ReadonlyMap<string, ReadonlySet<string>>;
}

const isListed = (history: Pick<History, 'possibleOrphans'>, { buildId, address }: Effect): boolean =>
  history.possibleOrphans.get(buildId)?.has(address) === true;

/** Objects that exist: created and not destroyed since. */
export function worldOf(effects: readonly Effect[]): ReadonlyMap<string, Effect> {
  const world = new Map<string, Effect>();
  for (const effect of effects)
    if (effect.verb === 'create') world.set(effect.objectId, effect);
    else world.delete(effect.objectId);
  return world;
}

/** What writes into the ledger. Of agents and their settings there is nothing outside of the state. */
export const isOfTheWorld = ({ address }: Pick<StoredObject, 'address'>): boolean =>
  /\bterraform_data\.object(\[|$)/.test(address);

/** Compares the world with the newest stored state. `listed` counts objects outside of the state that their build names. */
export function compareWithState(history: History): { findings: Finding[]; listed: number } {
  const { effects, stored, succeeded, tainted } = history;
  const world = worldOf(effects);
  const known = new Set(stored.map(({ objectId }) => objectId));
  const outside = [...world.values()].filter(({ objectId }) => !known.has(objectId) && !tainted.has(objectId));
  const orphans = outside.filter((effect) => !isListed(history, effect));
  const lost = stored.filter((object) => !world.has(object.objectId) && (succeeded || isOutdated(history, object)));
  return {
    findings: [
      ...orphans.map((effect): Finding => ({ kind: 'orphan', what: `not in the state: ${describeEffect(effect)}` })),
      ...lost.map(({ address, objectId }): Finding => ({
        kind: 'lost',
        what: `the state has ${address} ${objectId}, the world has not`,
      })),
    ],
    listed: outside.length - orphans.length,
  };
}

/**
 * After a run that was cut short an object of the state may be missing in the world only while that is still undecided: it was
 * being made, or its destruction was the last thing that happened in its chain. Terraform went on in that chain = it knew
 * that the object was gone, and the stored state is older than what it knew.
 */
function isOutdated({ effects }: History, { objectId }: StoredObject): boolean {
  const gone = effects.findLastIndex((effect) => effect.verb === 'destroy' && effect.objectId === objectId);
  if (gone < 0) return false;
  const chain = chainOf(effects[gone]!.address);
  return effects.slice(gone + 1).some(({ address }) => chainOf(address) === chain);
}

/** The template's objects form two chains; within one, each waits for the one before it. */
export const chainOf = (address: string): string => /^module\.(left|right)_/.exec(address)?.[1] ?? address;

/** Two live objects of one address at the same time, unless the older one is a listed possible orphan. */
export function findDoubleApplies(history: Pick<History, 'effects' | 'tainted' | 'possibleOrphans'>): Finding[] {
  const live = new Map<string, Effect>();
  const findings: Finding[] = [];
  for (const effect of history.effects) {
    if (effect.verb === 'destroy') {
      if (live.get(effect.address)?.objectId === effect.objectId) live.delete(effect.address);
      continue;
    }
    const other = live.get(effect.address);
    if (other !== undefined && !history.tainted.has(other.objectId) && !isListed(history, other))
      findings.push({
        kind: 'double_apply',
        what: `made while another one existed: ${describeEffect(effect)}; before: ${describeEffect(other)}`,
      });
    live.set(effect.address, effect);
  }
  return findings;
}

/** Two Terraforms of one build at once: one has effects again after another had some. */
export function findInterleavings(effects: readonly Effect[]): Finding[] {
  const findings: Finding[] = [];
  const turns = new Map<string, { last: Effect; before: Set<number> }>();
  for (const effect of effects.toSorted((a, b) => a.atMs - b.atMs)) {
    const turn = turns.get(effect.buildId);
    if (turn === undefined) {
      turns.set(effect.buildId, { last: effect, before: new Set() });
      continue;
    }
    if (turn.before.has(effect.terraformPid))
      findings.push({
        kind: 'double_apply',
        what: `two Terraforms at once: ${describeEffect(effect)}; just before: ${describeEffect(turn.last)}`,
      });
    if (turn.last.terraformPid !== effect.terraformPid) turn.before.add(turn.last.terraformPid);
    turn.last = effect;
  }
  return findings;
}

/**
 * Two hosts at once: a Terraform of the first was still seen alive when the second host's had its first effect. `lastAliveMs`
 * null = it was never seen.
 */
export function findOverlap(
  effects: readonly Effect[],
  { first, second }: { first: { lastAliveMs: number | null }; second: { pids: ReadonlySet<number> } },
): Finding[] {
  const begin = effects.find(({ terraformPid }) => second.pids.has(terraformPid));
  if (begin === undefined || first.lastAliveMs === null || first.lastAliveMs < begin.atMs) return [];
  const what = `the first host's Terraform still ran ${Math.round(first.lastAliveMs - begin.atMs)} ms after ${describeEffect(begin)}`;
  return [{ kind: 'double_apply', what }];
}

/** Process ids of the Terraforms that had effects in a build, in order. */
export const terraformsOf = (effects: readonly Effect[], buildId: string): number[] => [
  ...new Set(effects.filter((effect) => effect.buildId === buildId).map(({ terraformPid }) => terraformPid)),
];
