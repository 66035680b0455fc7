import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { asksQuota, describeQuota, isWithinQuota, refusedText } from '../../domain/quota.ts';

describe('a build asks for quota', () => {
  const build = { quotaEnabled: true, transition: 'start', refreshOnly: false, mayCost: true } as const;

  test.each([
    ['when it starts a version that may cost', {}, true],
    ['when it stops one', { transition: 'stop' }, true],
    ['when nobody knows whether the version may cost', { mayCost: undefined }, true],
    ['never when its version cannot cost', { mayCost: false }, false],
    ['never when it deletes', { transition: 'delete' }, false],
    ['never when it only reads', { refreshOnly: true }, false],
    ['never where quota is switched off', { quotaEnabled: false }, false],
  ] as const)('%s', (_name, change, asks) => {
    expect(asksQuota({ ...build, ...change })).toBe(asks);
  });
});

describe('a cost', () => {
  test.each([
    ['that fits exactly', 'start', { cost: 10, previous: 0, budget: 30, consumed: 20 }, true],
    ['one above what is left', 'start', { cost: 11, previous: 0, budget: 30, consumed: 20 }, false],
    ['of any size without a budget', 'start', { cost: 1, previous: 0, budget: 0, consumed: 0 }, false],
    ['of nothing, beyond the budget', 'start', { cost: 0, previous: 0, budget: 0, consumed: 50 }, true],
    [
      'below what the workspace costs now, beyond the budget',
      'start',
      { cost: 9, previous: 10, budget: 0, consumed: 50 },
      true,
    ],
    ['as high as it is now, beyond the budget', 'start', { cost: 10, previous: 10, budget: 0, consumed: 50 }, false],
    ['of a stop, beyond the budget', 'stop', { cost: 10, previous: 0, budget: 0, consumed: 50 }, true],
    ['of a delete, beyond the budget', 'delete', { cost: 10, previous: 0, budget: 0, consumed: 50 }, true],
  ] as const)('%s', (_name, transition, facts, within) => {
    expect(isWithinQuota(transition, facts)).toBe(within);
  });

  test('that is higher is never allowed where a lower one is not', () => {
    const amount = fc.nat(1_000);
    fc.assert(
      fc.property(amount, amount, amount, amount, amount, (cost, more, previous, budget, consumed) => {
        const facts = { previous, budget, consumed };
        const within = (each: number) => isWithinQuota('start', { cost: each, ...facts });
        expect(within(cost) || !within(cost + more)).toBe(true);
        // What was granted stays inside of the budget, or makes it better.
        if (within(cost)) expect(cost === 0 || cost < previous || consumed + cost <= budget).toBe(true);
      }),
    );
  });
});

describe('the words', () => {
  const who = { owner: 'ann', organization: 'default' };

  test('of a refusal say what costs how much, what is left and whom to ask', () => {
    const text = refusedText({ cost: 11, previous: 0, budget: 30, consumed: 20 }, who);
    expect(text).toMatch(/^Insufficient quota: the workspace would cost 11 credits a day, and 10 are left\./);
    expect(text).toContain('The budget of ann in the organization default is 30, other workspaces consume 20 of it.');
    expect(text).toMatch(/ask an administrator of the organization to raise the quota allowance/);
    expect(refusedText({ cost: 1, previous: 0, budget: 5, consumed: 20 }, who)).toContain(
      '1 credit a day, and 0 are left',
    );
  });

  test('of the log are three lines', () => {
    expect(describeQuota({ cost: 1, previous: 0, budget: 30, consumed: 20 }, who)).toEqual([
      'Cost: 1 credit a day',
      "Budget: 30 credits, the allowances of ann's groups in the organization default",
      'Consumed: 20 credits a day by other workspaces of ann',
    ]);
  });
});
