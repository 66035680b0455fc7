/** Whether an agent of a prebuild has to begin anew for a new owner. Source: spec/03 §15.1, spec/05 §14. */
export interface ClaimFacts {
  readonly deleted: boolean;
  readonly ownerIsSystem: boolean;
  readonly firstInitiatorIsSystem: boolean;
  readonly latestTransition: 'start' | 'stop' | 'delete';
  readonly latestStage: 'none' | 'create' | 'claim';
  readonly latestStatus: string;
  /** The agent belongs to the claim's build already, whatever Terraform has done of it (docs/adr/0020). */
  readonly handedOver: boolean;
  /** The agent that the token stands for now has run for this owner. */
  readonly started: boolean;
}

export type ReinitDecision =
  /** For a claim, or for the end of the claim's build. */
  | { readonly kind: 'wait'; readonly for: 'claim' | 'build' }
  | { readonly kind: 'send' }
  /** Terminal: the agent stops asking. */
  | { readonly kind: 'refuse'; readonly why: string };

export function planReinit(facts: ClaimFacts | undefined): ReinitDecision {
  if (facts === undefined || facts.deleted) return refuse('the workspace is deleted');
  if (facts.ownerIsSystem) return { kind: 'wait', for: 'claim' };
  if (!facts.firstInitiatorIsSystem) return refuse('the workspace is no claimed prebuild');
  if (facts.latestTransition !== 'start') return refuse('the workspace is being stopped');
  if (facts.latestStage !== 'claim') return refuse('the workspace was built again since the claim');
  // Pending, running, or failed and waiting for a retry, which is a claim again.
  if (facts.latestStatus !== 'succeeded' && !facts.handedOver) return { kind: 'wait', for: 'build' };
  return facts.started ? refuse('the agent runs for its owner already') : { kind: 'send' };
}

const refuse = (why: string): ReinitDecision => ({ kind: 'refuse', why });
