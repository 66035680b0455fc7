/** Which agent a machine's signed identity stands for. Source: spec/05 §2. */
export interface IdentityCandidate {
  readonly agentId: string;
  readonly agentName: string;
  /** It may speak: its build is the latest, or the windows of a stop, delete or claim apply. */
  readonly admitted: boolean;
}

export type IdentityChoice<C extends IdentityCandidate> =
  | { readonly kind: 'found'; readonly candidate: C }
  | { readonly kind: 'unknown' }
  /** Only builds of the past had a machine with this id. */
  | { readonly kind: 'outdated' }
  | { readonly kind: 'ambiguous'; readonly names: readonly string[] }
  | { readonly kind: 'unknown-name' };

/**
 * Past builds are left out before anything is counted: a machine that lived through ten builds has ten rows and one agent.
 */
export function chooseIdentity<C extends IdentityCandidate>(
  candidates: readonly C[],
  agentName: string,
): IdentityChoice<C> {
  if (candidates.length === 0) return { kind: 'unknown' };
  const current = candidates.filter((candidate) => candidate.admitted);
  if (current.length === 0) return { kind: 'outdated' };
  const named =
    agentName === ''
      ? current
      : current.filter((candidate) => candidate.agentName.toLowerCase() === agentName.toLowerCase());
  const [first, second] = named;
  if (first === undefined) return { kind: 'unknown-name' };
  if (second === undefined) return { kind: 'found', candidate: first };
  return { kind: 'ambiguous', names: [...new Set(named.map((candidate) => candidate.agentName))].toSorted() };
}
