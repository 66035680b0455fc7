import type { Transition } from './jobs.ts';

/**
 * Workspaces cost credits a day (`daily_cost` of their resources), and their owners have a budget of them in each
 * organization: the sum of the allowances of their groups there, Everyone included. Source: spec/04 §10.
 */
export interface QuotaFacts {
  /** What the workspace costs after this build. */
  readonly cost: number;
  /** What it costs without it. */
  readonly previous: number;
  readonly budget: number;
  /** What the owner's other workspaces in the organization cost. */
  readonly consumed: number;
}

/**
 * Whether a build has to tell its cost before anything is changed, which takes a plan of its own. `mayCost` is what the version's
 * import has found; undefined = it was imported before that was noted.
 */
export const asksQuota = (build: {
  readonly quotaEnabled: boolean;
  readonly transition: Transition;
  readonly refreshOnly: boolean;
  readonly mayCost: boolean | undefined;
}): boolean => build.quotaEnabled && build.transition !== 'delete' && !build.refreshOnly && build.mayCost !== false;

/** Never stands in the way of what makes a workspace cheaper, also when the budget is exceeded already. */
export function isWithinQuota(transition: Transition, { cost, previous, budget, consumed }: QuotaFacts): boolean {
  if (transition !== 'start' || cost <= 0) return true;
  return cost < previous || consumed + cost <= budget;
}

const credits = (count: number): string => `${count} ${count === 1 ? 'credit' : 'credits'}`;
const leftOf = ({ budget, consumed }: Pick<QuotaFacts, 'budget' | 'consumed'>): number =>
  Math.max(0, budget - consumed);

/** Lines for the build's log. */
export const describeQuota = (
  facts: QuotaFacts,
  who: { readonly owner: string; readonly organization: string },
): string[] => [
  `Cost: ${credits(facts.cost)} a day`,
  `Budget: ${credits(facts.budget)}, the allowances of ${who.owner}'s groups in the organization ${who.organization}`,
  `Consumed: ${credits(facts.consumed)} a day by other workspaces of ${who.owner}`,
];

/** Error of a build that was refused: what costs how much, what is left, and whom to ask. */
export const refusedText = (
  facts: QuotaFacts,
  who: { readonly owner: string; readonly organization: string },
): string => {
  const { cost, budget, consumed } = facts;
  return (
    `Insufficient quota: the workspace would cost ${credits(cost)} a day, and ${leftOf(facts)} are left. ` +
    `The budget of ${who.owner} in the organization ${who.organization} is ${budget}, other workspaces consume ${consumed} of it. ` +
    `Stop or delete some of those, or ask an administrator of the organization to raise the quota allowance of one of ${who.owner}'s groups.`
  );
};
