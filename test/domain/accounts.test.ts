import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { allowListWithin, isAllowListEntry } from '../../domain/allow-list.ts';
import { displayNameProblem, nameProblem } from '../../domain/names.ts';
import { loginWaitSeconds, passwordBits, passwordProblem } from '../../domain/passwords.ts';
import { nextQuietHours, parseQuietHours } from '../../domain/quiet-hours.ts';
import { mayAssignOrganizationRole, mayAssignSiteRole } from '../../domain/role-assignment.ts';
import { isScope, scopeFromWire, scopeNames, scopesWithin } from '../../domain/scopes.ts';
import { isTouchDue, parseSessionToken, slidingExpiry } from '../../domain/session-token.ts';
import type { Subject } from '../../domain/subject.ts';

const hourMs = 3_600_000;

describe('names', () => {
  test.each(['a--b', '-a', 'a-', 'a_b', '', 'a'.repeat(33), 'ü', 'a b', 'me', 'ME'])('%s is no username', (name) => {
    expect(nameProblem('user', name)).toBeTypeOf('string');
  });
  test.each(['a', 'A-1', 'a'.repeat(32), '0'])('%s is a username', (name) => {
    expect(nameProblem('user', name)).toBeUndefined();
  });
  test('new and create are reserved where names stand in paths, default for organizations', () => {
    for (const kind of ['workspace', 'template', 'organization'] as const)
      expect([nameProblem(kind, 'new'), nameProblem(kind, 'Create')]).not.toContain(undefined);
    expect(nameProblem('user', 'new')).toBeUndefined();
    expect(nameProblem('organization', 'default')).toBeTypeOf('string');
  });
  test('versions and tokens may have dots and underscores between', () => {
    expect(nameProblem('templateVersion', 'v1.2_3-rc')).toBeUndefined();
    expect(nameProblem('token', 'a..b')).toBeTypeOf('string');
    expect(nameProblem('token', 'a'.repeat(65))).toBeTypeOf('string');
  });
  test('display names have no spaces around them', () => {
    expect(displayNameProblem(' a')).toBeTypeOf('string');
    expect(displayNameProblem('a b')).toBeUndefined();
    expect(displayNameProblem('a'.repeat(65))).toBeTypeOf('string');
  });
});

describe('passwords', () => {
  test.each([
    'short1!',
    'password',
    'aaaaaaaaaaaaaaaaaaaa',
    'abcdefghijklmnop',
    '12345678901234567890',
    'a'.repeat(65),
  ])('%s is refused', (password) => {
    expect(passwordProblem(password)).toBeTypeOf('string');
  });
  test.each(['correct horse battery', 'Tr0ub4dor&3xyz', 'qmvxhwrztkpl'])('%s is accepted', (password) => {
    expect(passwordProblem(password)).toBeUndefined();
  });
  test('neither the username nor the local part of the address may stand in it', () => {
    expect(passwordProblem('xK9-alice-Zq7!', { username: 'Alice' })).toBeTypeOf('string');
    expect(passwordProblem('xK9-wonder-Zq7!', { email: 'Wonder@example.com' })).toBeTypeOf('string');
  });
  test('runs of more than two count as two', () => {
    expect(passwordBits('aaaa')).toBe(passwordBits('aa'));
    expect(passwordBits('abcd')).toBe(passwordBits('ab'));
    expect(passwordBits('dcba')).toBe(passwordBits('dc'));
    expect(passwordBits('aabb')).toBeCloseTo(4 * Math.log2(26), 6);
  });
  test('appending characters never makes a password weaker', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 40 }), fc.string({ maxLength: 5 }), (head, tail) => {
        expect(passwordBits(head + tail)).toBeGreaterThanOrEqual(passwordBits(head));
      }),
    );
  });
  test('the wait doubles from the sixth failure on and ends at 900 s', () => {
    expect([0, 1, 5, 6, 7, 10, 15, 99].map(loginWaitSeconds)).toEqual([0, 0, 0, 2, 4, 32, 900, 900]);
  });
});

describe('session tokens', () => {
  test('have exactly 10 and 22 characters of the alphabet', () => {
    const token = `${'a'.repeat(10)}-${'Z9'.repeat(11)}`;
    expect(parseSessionToken(token)).toEqual({ id: 'a'.repeat(10), secret: 'Z9'.repeat(11) });
    for (const bad of [
      token.slice(1),
      token.slice(0, -1),
      `${token}x`,
      token.replace('-', '_'),
      `${token}-x`,
      '',
      `${token}\n`,
    ])
      expect([bad, parseSessionToken(bad)]).toEqual([bad, undefined]);
  });
  test('slide once more than an hour of the lifetime is gone', () => {
    const start = new Date('2024-01-01T00:00:00Z');
    const key = { expiresAt: new Date(start.getTime() + 24 * hourMs), lifetimeSeconds: 86_400 };
    const at = (hours: number) => new Date(start.getTime() + hours * hourMs);
    expect(slidingExpiry(key, at(0.5))).toBeUndefined();
    expect(slidingExpiry(key, at(23))).toEqual(at(47));
  });
  test('are touched at most once per hour', () => {
    const now = new Date('2024-01-01T12:00:00Z');
    expect(isTouchDue(null, now)).toBe(true);
    expect(isTouchDue(new Date(now.getTime() - hourMs), now)).toBe(true);
    expect(isTouchDue(new Date(now.getTime() - hourMs + 1), now)).toBe(false);
  });
});

describe('scopes', () => {
  test('old names map to new ones, unknown ones are refused', () => {
    expect(scopeFromWire('all')).toBe('coder:all');
    expect(scopeFromWire('application_connect')).toBe('coder:application_connect');
    expect(scopeFromWire('workspace:read')).toBe('workspace:read');
    for (const bad of [
      'workspace:frobnicate',
      'inbox_notification:*',
      'system:read',
      'constructor',
      'coder:nothing',
      '*:*',
    ])
      expect([bad, scopeFromWire(bad)]).toEqual([bad, undefined]);
  });
  test('every scope is within coder:all and within itself, and coder:all within no other', () => {
    for (const scope of scopeNames) {
      expect(isScope(scope)).toBe(true);
      expect(scopesWithin([scope], ['coder:all'])).toBe(true);
      expect(scopesWithin([scope], [scope])).toBe(true);
      if (scope !== 'coder:all') expect(scopesWithin(['coder:all'], [scope])).toBe(false);
    }
    expect(scopesWithin(['workspace:start'], ['workspace:read'])).toBe(false);
    expect(scopesWithin(['workspace:start', 'workspace:read'], ['coder:workspaces.operate'])).toBe(true);
  });
  test('allow-lists name a type and an id or all of them', () => {
    const workspace = '11111111-1111-4111-8111-111111111111';
    expect(isAllowListEntry(`workspace:${workspace}`)).toBe(true);
    expect(isAllowListEntry('*:*')).toBe(true);
    for (const bad of ['workspace', 'nothing:*', 'workspace:1', `workspace:${workspace}:x`, ''])
      expect([bad, isAllowListEntry(bad)]).toEqual([bad, false]);
    expect(allowListWithin([`workspace:${workspace}`], ['workspace:*'])).toBe(true);
    expect(allowListWithin(['workspace:*'], [`workspace:${workspace}`])).toBe(false);
    expect(allowListWithin(['*:*'], ['workspace:*'])).toBe(false);
  });
});

describe('quiet hours', () => {
  test('are one time of day in a known zone', () => {
    expect(parseQuietHours('CRON_TZ=Europe/Berlin 30 23 * * *')).toEqual({
      timezone: 'Europe/Berlin',
      hour: 23,
      minute: 30,
    });
    expect(parseQuietHours('0 5 * * *').timezone).toBe('UTC');
    for (const bad of [
      '',
      '* * * * *',
      '0 24 * * *',
      '60 1 * * *',
      'CRON_TZ=Mars/Base 0 1 * * *',
      '0 1 * * 1',
      '0,5 1 * * *',
    ])
      expect(() => parseQuietHours(bad)).toThrow();
  });
  test('the next start is in the zone', () => {
    const next = nextQuietHours({ timezone: 'Europe/Berlin', hour: 1, minute: 0 }, new Date('2024-07-01T12:00:00Z'));
    expect(next).toEqual(new Date('2024-07-01T23:00:00Z'));
  });
});

describe('assignment of roles', () => {
  const organization = 'aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa';
  const subject = (roles: string[], here: string[] = []): Subject => ({
    kind: 'user',
    id: 'x',
    name: 'x',
    roles,
    organizations: { [organization]: here },
    groups: [],
    scopes: ['coder:all'],
    allowList: ['*:*'],
  });
  test('only owners assign site roles', () => {
    expect(mayAssignSiteRole(subject(['owner']), 'owner')).toBe(true);
    expect(mayAssignSiteRole(subject(['user-admin']), 'auditor')).toBe(false);
  });
  test('organization roles: admins all of theirs, user admins the member class', () => {
    const may = (who: Subject, role: string, place = organization) => mayAssignOrganizationRole(who, place, role);
    expect(may(subject([], ['organization-admin']), 'organization-admin')).toBe(true);
    expect(may(subject([], ['organization-admin']), 'organization-admin', 'elsewhere')).toBe(false);
    expect(may(subject(['user-admin']), 'organization-workspace-access')).toBe(true);
    expect(may(subject(['user-admin']), 'organization-admin')).toBe(false);
    expect(may(subject([], ['organization-user-admin']), 'organization-workspace-access')).toBe(true);
    expect(may(subject([], ['organization-user-admin']), 'organization-auditor')).toBe(false);
    expect(may(subject([], ['organization-member']), 'organization-workspace-access')).toBe(false);
  });
});
