import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { chooseIdentity } from '../../domain/instance-identity.ts';

const agent = (agentId: string, agentName = 'main', admitted = true) => ({ agentId, agentName, admitted });
const past = (agentId: string) => agent(agentId, 'main', false);

describe('The agent of a machine', () => {
  test('is the one of the latest build, however many builds had the machine', () => {
    const candidates = [agent('now'), past('4'), past('3'), past('2'), past('1')];
    expect(chooseIdentity(candidates, '')).toMatchObject({ kind: 'found', candidate: { agentId: 'now' } });
  });

  test('is refused when no build, or only a build of the past, had the machine', () => {
    expect(chooseIdentity([], '')).toEqual({ kind: 'unknown' });
    expect(chooseIdentity([past('1'), past('2')], '')).toEqual({ kind: 'outdated' });
  });

  test('must be named when there are several', () => {
    const candidates = [agent('1', 'main'), agent('2', 'aux'), past('3')];
    expect(chooseIdentity(candidates, '')).toEqual({ kind: 'ambiguous', names: ['aux', 'main'] });
    expect(chooseIdentity(candidates, 'aux')).toMatchObject({ candidate: { agentId: '2' } });
    expect(chooseIdentity(candidates, 'other')).toEqual({ kind: 'unknown-name' });
  });

  test('is never one that may not speak, and does not depend on the order of rows', () => {
    const candidate = fc.record({
      agentId: fc.uuid(),
      agentName: fc.constantFrom('main', 'aux'),
      admitted: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(candidate), fc.constantFrom('', 'main', 'aux'), (candidates, name) => {
        const choice = chooseIdentity(candidates, name);
        if (choice.kind === 'found') expect(choice.candidate.admitted).toBe(true);
        expect(chooseIdentity(candidates.toReversed(), name)).toEqual(choice);
      }),
    );
  });
});
