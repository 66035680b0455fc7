import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DomainError } from '../../domain/errors.ts';
import {
  type TemplateSettings,
  type TemplateSettingsInput,
  type WorkspaceEffects,
  changedTemplateSettings,
  newTemplateSettings,
  planWorkspaceEffects,
} from '../../domain/template-settings.ts';
import { bitmapToDays, daysToBitmap, weekdays } from '../../domain/weekdays.ts';

const fieldsOf = (work: () => unknown): string[] => {
  try {
    work();
  } catch (err) {
    if (err instanceof DomainError) return err.validations.map(({ field }) => field);
    throw err;
  }
  return [];
};
const created = (input: TemplateSettingsInput = {}) => newTemplateSettings({ name: 'dev', ...input });
const patched = (current: TemplateSettings, input: TemplateSettingsInput, zeroFill = false) =>
  changedTemplateSettings(current, input, { zeroFill });

describe('a new template', () => {
  test('gets the documented defaults', () => {
    expect(created()).toEqual({
      name: 'dev',
      displayName: '',
      description: '',
      icon: '',
      deprecated: '',
      defaultTtlMs: 0,
      activityBumpMs: 3_600_000,
      allowUserAutostart: true,
      allowUserAutostop: true,
      allowUserCancelWorkspaceJobs: false,
      autostopRequirementDaysOfWeek: 0,
      autostopRequirementWeeks: 1,
      autostartBlockDaysOfWeek: 0,
      failureTtlMs: 0,
      timeTilAutostopNotifyMs: 0,
      timeTilDormantMs: 0,
      timeTilDormantAutodeleteMs: 0,
      requireActiveVersion: false,
      maxPortSharingLevel: 'owner',
      useClassicParameterFlow: false,
      corsBehavior: 'simple',
      disableModuleCache: false,
      instantClaim: true,
    });
  });

  test('stores required weekdays as bits and allowed weekdays as their complement', () => {
    const settings = created({
      autostopRequirement: { daysOfWeek: ['sunday', 'monday'], weeks: 0 },
      autostartRequirement: { daysOfWeek: ['saturday', 'sunday'] },
    });
    expect(settings.autostopRequirementDaysOfWeek).toBe(0b1000001);
    expect(settings.autostopRequirementWeeks).toBe(1);
    expect(settings.autostartBlockDaysOfWeek).toBe(0b0011111);
  });

  test('names every bad field at once, under the names of the request', () => {
    const input: TemplateSettingsInput = {
      displayName: ' padded',
      description: 'x'.repeat(129),
      icon: 'x'.repeat(257),
      defaultTtlMs: -1,
      timeTilDormantMs: -1,
      timeTilDormantAutodeleteMs: -1,
      failureTtlMs: Number.MAX_SAFE_INTEGER,
      autostopRequirement: { daysOfWeek: ['monday', 'monday'], weeks: 17 },
      autostartRequirement: { daysOfWeek: ['funday'] },
    };
    expect(fieldsOf(() => newTemplateSettings({ name: 'a--b', ...input }))).toEqual([
      'name',
      'display_name',
      'description',
      'icon',
      'default_ttl_ms',
      'failure_ttl_ms',
      'dormant_ttl_ms',
      'delete_ttl_ms',
      'autostop_requirement.days_of_week',
      'autostop_requirement.weeks',
      'autostart_requirement.days_of_week',
    ]);
  });

  test.each([-1, 17, 1.5])('refuses %d weeks', (weeks) => {
    expect(fieldsOf(() => created({ autostopRequirement: { daysOfWeek: [], weeks } }))).toEqual([
      'autostop_requirement.weeks',
    ]);
  });
});

describe('a patch', () => {
  test('of nothing changes nothing, and so does one of what is there already', () => {
    const current = created({ description: 'x', failureTtlMs: 90_000 });
    expect(patched(current, {})).toEqual({});
    expect(patched(current, { ...current, autostopRequirement: { daysOfWeek: [], weeks: 0 } })).toEqual({});
  });

  test('of the description leaves every switch as it is', () => {
    expect(patched(created(), { description: 'new' })).toEqual({ description: 'new' });
  });

  test('ignores an empty name', () => {
    expect(patched(created(), { name: '' })).toEqual({});
  });

  test('refuses the four lifecycle durations between 1 and 59 999 ms under their own names', () => {
    const short = {
      failureTtlMs: 59_999,
      timeTilDormantMs: 1,
      timeTilDormantAutodeleteMs: 59_999,
      timeTilAutostopNotifyMs: 30_000,
      defaultTtlMs: 1,
      activityBumpMs: 1,
    };
    expect(fieldsOf(() => patched(created(), short))).toEqual([
      'failure_ttl_ms',
      'time_til_dormant_ms',
      'time_til_dormant_autodelete_ms',
      'time_til_autostop_notify_ms',
    ]);
    expect(patched(created(), { failureTtlMs: 60_000 })).toEqual({ failureTtlMs: 60_000 });
    expect(patched(created({ failureTtlMs: 60_000 }), { failureTtlMs: 0 })).toEqual({ failureTtlMs: 0 });
  });

  test('reads absent numbers and booleans as zero only where the deployment says so', () => {
    const current = created({ failureTtlMs: 60_000, allowUserCancelWorkspaceJobs: true, displayName: 'Dev' });
    expect(patched(current, { description: 'x' }, true)).toEqual({
      description: 'x',
      failureTtlMs: 0,
      activityBumpMs: 0,
      allowUserAutostart: false,
      allowUserAutostop: false,
      allowUserCancelWorkspaceJobs: false,
    });
  });

  test('applied twice changes nothing the second time', () => {
    const ms = fc.option(fc.oneof(fc.constant(0), fc.integer({ min: 60_000, max: 10 ** 10 })), { nil: undefined });
    const flag = fc.option(fc.boolean(), { nil: undefined });
    const days = fc.subarray([...weekdays]);
    const input = fc.record(
      {
        displayName: fc.constantFrom('', 'Dev', 'Ops'),
        defaultTtlMs: ms,
        failureTtlMs: ms,
        timeTilDormantMs: ms,
        allowUserAutostart: flag,
        allowUserAutostop: flag,
        autostopRequirement: fc.record({ daysOfWeek: days, weeks: fc.integer({ min: 0, max: 16 }) }),
        autostartRequirement: fc.record({ daysOfWeek: days }),
      },
      { requiredKeys: [] },
    ) as fc.Arbitrary<TemplateSettingsInput>;
    fc.assert(
      fc.property(input, input, fc.boolean(), (first, second, zeroFill) => {
        const current = created(first);
        const after = { ...current, ...patched(current, second, zeroFill) };
        expect(patched(after, second, zeroFill)).toEqual({});
      }),
    );
  });
});

describe('weekdays', () => {
  test('survive the way into a bitmap and back, in the order of the week', () => {
    fc.assert(
      fc.property(fc.shuffledSubarray([...weekdays]), (days) => {
        const read = daysToBitmap(days);
        expect('bitmap' in read && bitmapToDays(read.bitmap)).toEqual(weekdays.filter((day) => days.includes(day)));
      }),
    );
  });
});

describe('what a change means for live workspaces', () => {
  const none = { clearsDeadlines: false, movesRequiredStops: false, movesStarts: false, movesDeletions: false };

  test('is nothing where no rule of theirs changes, or is set to what it was', () => {
    const current = created({ timeTilDormantAutodeleteMs: 60_000, defaultTtlMs: 60_000, allowUserAutostop: false });
    expect(planWorkspaceEffects(current, {})).toEqual(none);
    expect(planWorkspaceEffects(current, current)).toEqual(none);
    const elsewhere = { description: 'x', activityBumpMs: 0, failureTtlMs: 60_000, timeTilDormantMs: 60_000 };
    expect(planWorkspaceEffects(current, { ...elsewhere, timeTilAutostopNotifyMs: 60_000 })).toEqual(none);
  });

  test('a new default TTL reaches them only where users have no say', () => {
    const free = created();
    expect(planWorkspaceEffects(free, { defaultTtlMs: 7_200_000 })).toEqual(none);
    const bound = created({ allowUserAutostop: false });
    expect(planWorkspaceEffects(bound, { defaultTtlMs: 7_200_000 })).toEqual({ ...none, ttlMs: 7_200_000 });
    expect(planWorkspaceEffects(created({ allowUserAutostop: false, defaultTtlMs: 1 }), { defaultTtlMs: 0 })).toEqual({
      ...none,
      ttlMs: null,
      clearsDeadlines: true,
    });
  });

  test('taking the say away hands the default out at once, giving it back changes nothing', () => {
    const before = created({ defaultTtlMs: 3_600_000 });
    expect(planWorkspaceEffects(before, { allowUserAutostop: false })).toEqual({ ...none, ttlMs: 3_600_000 });
    expect(planWorkspaceEffects({ ...before, allowUserAutostop: false }, { allowUserAutostop: true })).toEqual(none);
    const given = { allowUserAutostop: true, defaultTtlMs: 60_000 };
    expect(planWorkspaceEffects({ ...before, allowUserAutostop: false }, given)).toEqual(none);
  });

  test.each<[Partial<TemplateSettings>, Partial<WorkspaceEffects>]>([
    [{ allowUserAutostart: false }, { movesStarts: true }],
    [{ autostartBlockDaysOfWeek: 1 }, { movesStarts: true }],
    [{ autostopRequirementDaysOfWeek: 1 }, { movesRequiredStops: true }],
    [{ autostopRequirementWeeks: 2 }, { movesRequiredStops: true }],
    [{ timeTilDormantAutodeleteMs: 60_000 }, { movesDeletions: true }],
  ])('%j moves one thing', (change, moved) => {
    expect(planWorkspaceEffects(created(), change)).toEqual({ ...none, ...moved });
  });
});
