import { PREBUILDS_SYSTEM_USER_ID } from './ids.ts';
import type { Transition } from './jobs.ts';
import type { ClaimDependencies, ClaimVariable } from './provisioned.ts';

export type PrebuildStage = 'none' | 'create' | 'claim';

/**
 * What a build is to a pool: of a prebuild, whoever asks for it; of a claim, until a start since then has succeeded, so that a
 * retry keeps the agent's token and hands it over as well; of an ordinary workspace. Source: spec/03 §8.4.
 */
export function prebuildStageOf(build: {
  readonly ownerId: string;
  readonly isClaim: boolean;
  readonly transition: Transition;
  readonly refreshOnly: boolean;
  /** null = the workspace never was a prebuild. */
  readonly claim: { readonly succeeded: boolean } | null;
}): PrebuildStage {
  if (build.ownerId === PREBUILDS_SYSTEM_USER_ID) return 'create';
  if (build.isClaim) return 'claim';
  const unfinished = build.claim !== null && !build.claim.succeeded;
  return unfinished && build.transition === 'start' && !build.refreshOnly ? 'claim' : 'none';
}

/** Values of a build by name; equal = the same names and values, in whatever order. */
type Values = readonly { readonly name: string; readonly value: string }[];

/**
 * Whether the agent of a prebuild may go to its new owner before Terraform has run: nothing that exists depends on who owns it,
 * every value is the one it was made with, and there is one agent, whose token stays. Source: docs/adr/0020.
 */
export function mayHandOverAtOnce(facts: {
  readonly allowed: boolean;
  readonly dependencies: ClaimDependencies | null;
  readonly agents: number;
  readonly before: Values;
  readonly after: Values;
}): boolean {
  const { dependencies, before, after } = facts;
  if (!facts.allowed || dependencies === null || dependencies.dependents.length > 0 || facts.agents !== 1) return false;
  const old = new Map(before.map(({ name, value }) => [name, value]));
  return old.size === after.length && after.every(({ name, value }) => old.get(name) === value);
}

/** What the provider says for an empty one. */
const providerDefaults: Readonly<Record<string, string>> = { full_name: 'default', email: 'default@example.com' };

/** Variables of agents as they are for this owner, by the agent's label. */
export function claimEnvironment(
  variables: readonly ClaimVariable[],
  who: {
    readonly owner: Readonly<Record<'id' | 'name' | 'full_name' | 'email', string>>;
    readonly workspace: Readonly<Record<'id' | 'name', string>>;
  },
): readonly { readonly agent: string; readonly name: string; readonly value: string }[] {
  return variables.map(({ agent, name, value }) => ({
    agent,
    name,
    value: value
      .map((part) =>
        'text' in part
          ? part.text
          : part.of === 'owner'
            ? who.owner[part.attribute] || (providerDefaults[part.attribute] ?? '')
            : who.workspace[part.attribute],
      )
      .join(''),
  }));
}
