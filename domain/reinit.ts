/** Whether an agent of a prebuild has to begin anew for a new owner. Source: spec/03 §15.1, spec/05 §14. */
export interface ClaimFacts {
  readonly deleted: boolean;
  readonly ownerIsSystem: boolean;
  readonly firstInitiatorIsSystem: boolean;
  readonly latestTransition: 'start' | 'stop' | 'delete';
  readonly latestStage: 'none' | 'create' | 'claim';
  readonly latestStatus: string;
  /** The agent that the token stands for now has run for this owner. */
  readonly started: boolean;
}

export type ReinitDecision =
  | { readonly kind: 'wait' }
  | { readonly kind: 'send' }
  /** Terminal: the agent stops asking. */
  | { readonly kind: 'refuse'; readonly why: string };

export function planReinit(facts: ClaimFacts | undefined): ReinitDecision {
  if (facts === undefined || facts.deleted) return refuse('the workspace is deleted');
  if (facts.ownerIsSystem) return { kind: 'wait' };
  if (!facts.firstInitiatorIsSystem) return refuse('the workspace is no claimed prebuild');
  if (facts.latestTransition !== 'start') return refuse('the workspace is being stopped');
  if (facts.latestStage !== 'claim') return refuse('the workspace was built again since the claim');
  // Pending, running, or failed and waiting for a retry, which is a claim again.
  if (facts.latestStatus !== 'succeeded') return { kind: 'wait' };
  return facts.started ? refuse('the agent runs for its owner already') : { kind: 'send' };
}

const refuse = (why: string): ReinitDecision => ({ kind: 'refuse', why });
