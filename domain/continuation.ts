/** What a Terraform that was cut off may have left behind, and what its successor has to do about it. Source: design §2. */
export interface CutOffApply {
  /** Addresses whose creation may have begun. */
  readonly suspects: readonly string[];
  /** Those of them that are known to have ended well. */
  readonly finished: readonly string[];
  /** Address → id of its object: in the newest state that was saved, and in the one that the apply began with. */
  readonly state: ReadonlyMap<string, string>;
  readonly before: ReadonlyMap<string, string>;
  /** Whether the template has provisioners for the resource at this address. */
  readonly hasProvisioners: (address: string) => boolean;
}

export interface Continuation {
  /** May exist outside of the state: what made them was cut off before it was written down. */
  readonly possibleOrphans: readonly string[];
  /**
   * In the state, but without a sign that their provisioners ran to the end. Terraform writes such an object as if it were
   * whole whenever another resource finishes meanwhile, and would never look at it again.
   */
  readonly replace: readonly string[];
}

export function planContinuation(cut: CutOffApply): Continuation {
  const finished = new Set(cut.finished);
  const possibleOrphans: string[] = [];
  const replace: string[] = [];
  for (const address of new Set(cut.suspects)) {
    const saved = cut.state.get(address);
    // The object that stood there before says nothing about its replacement.
    if (saved === undefined || saved === cut.before.get(address)) possibleOrphans.push(address);
    else if (!finished.has(address) && cut.hasProvisioners(address)) replace.push(address);
  }
  return { possibleOrphans: possibleOrphans.toSorted(), replace: replace.toSorted() };
}

/** What is not yet safe if this host were lost now: announced, and not known to be whole in a state that is stored. */
export const unsettledCreations = (
  announced: readonly string[],
  created: ReadonlySet<string>,
  stored: ReadonlySet<string>,
): string[] => announced.filter((address) => !created.has(address) || !stored.has(address)).toSorted();
