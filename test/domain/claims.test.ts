import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { claimEnvironment, mayHandOverAtOnce, prebuildStageOf } from '../../domain/claims.ts';
import { PREBUILDS_SYSTEM_USER_ID } from '../../domain/ids.ts';
import { prebuildName } from '../../domain/names.ts';

const someone = '11111111-1111-4111-8111-111111111111';

describe('the stage of a build', () => {
  const build = { ownerId: someone, isClaim: false, transition: 'start', refreshOnly: false, claim: null } as const;
  test.each([
    ['of a prebuild is `create`, whoever asks for it', { ownerId: PREBUILDS_SYSTEM_USER_ID }, 'create'],
    [
      'of a prebuild that is deleted is `create`',
      { ownerId: PREBUILDS_SYSTEM_USER_ID, transition: 'delete' },
      'create',
    ],
    ['that claims is `claim`', { isClaim: true }, 'claim'],
    ['that repeats a failed claim is `claim`', { claim: { succeeded: false } }, 'claim'],
    ['after a claim that succeeded is ordinary', { claim: { succeeded: true } }, 'none'],
    ['that stops after a failed claim is ordinary', { claim: { succeeded: false }, transition: 'stop' }, 'none'],
    ['that only refreshes is ordinary', { claim: { succeeded: false }, refreshOnly: true }, 'none'],
    ['of an ordinary workspace is ordinary', {}, 'none'],
  ] as const)('%s', (_name, change, stage) => {
    expect(prebuildStageOf({ ...build, ...change })).toBe(stage);
  });
});

describe('an agent may be handed over before Terraform', () => {
  const values = [
    { name: 'cpu', value: '4' },
    { name: 'disk', value: '10' },
  ];
  const facts = {
    allowed: true,
    dependencies: { dependents: [], environment: [] },
    agents: 1,
    before: values,
    after: values.toReversed(),
  };
  test('when nothing depends on the owner and every value stays', () => {
    expect(mayHandOverAtOnce(facts)).toBe(true);
  });
  test.each([
    ['the template does not allow it', { allowed: false }],
    ['the version was imported before anybody looked', { dependencies: null }],
    [
      'something depends on the owner',
      { dependencies: { dependents: [{ address: 'a.b', because: 'c' }], environment: [] } },
    ],
    ['there are two agents', { agents: 2 }],
    ['there is none', { agents: 0 }],
    ['a value changes', { after: [{ name: 'cpu', value: '8' }, values[1]!] }],
    ['a value comes', { after: [...values, { name: 'gpu', value: '1' }] }],
    ['a value goes', { after: [values[0]!] }],
  ])('not when %s', (_name, change) => {
    expect(mayHandOverAtOnce({ ...facts, ...change })).toBe(false);
  });
});

test('variables of a claim are texts with the owner’s and the workspace’s attributes, empty ones as the provider gives them', () => {
  const variables = claimEnvironment(
    [
      { agent: 'coder_agent.main', name: 'AUTHOR', value: [{ of: 'owner', attribute: 'full_name' }] },
      {
        agent: 'coder_agent.main',
        name: 'WHERE',
        value: [{ of: 'owner', attribute: 'name' }, { text: '/' }, { of: 'workspace', attribute: 'name' }],
      },
    ],
    {
      owner: { id: 'o', name: 'bob', full_name: '', email: 'bob@example.com' },
      workspace: { id: 'w', name: 'dev' },
    },
  );
  expect(variables).toEqual([
    { agent: 'coder_agent.main', name: 'AUTHOR', value: 'default' },
    { agent: 'coder_agent.main', name: 'WHERE', value: 'bob/dev' },
  ]);
});

test('the name of a prebuild carries all random bits', () => {
  expect(prebuildName(new Uint8Array(9))).toBe('prebuild-aaaaaaaaaaaaaaa');
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 9, maxLength: 9 }), fc.nat(71), (bytes, bit) => {
      const flipped = Uint8Array.from(bytes);
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      expect(prebuildName(bytes)).toMatch(/^prebuild-[a-z2-7]{15}$/);
      expect(prebuildName(flipped)).not.toBe(prebuildName(bytes));
    }),
  );
});
