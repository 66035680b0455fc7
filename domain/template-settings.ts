import { DomainError, type FieldError } from './errors.ts';
import { displayNameProblem, nameProblem } from './names.ts';
import { daysToBitmap, everyDay } from './weekdays.ts';

/** The columns of a template that its administrators set. Durations in ms, 0 = off. Source: spec/01 §2.1. */
export interface TemplateSettings {
  readonly name: string;
  readonly displayName: string;
  readonly description: string;
  readonly icon: string;
  /** Non-empty = deprecated, shown to users. */
  readonly deprecated: string;
  readonly defaultTtlMs: number;
  readonly activityBumpMs: number;
  readonly allowUserAutostart: boolean;
  readonly allowUserAutostop: boolean;
  readonly allowUserCancelWorkspaceJobs: boolean;
  readonly autostopRequirementDaysOfWeek: number;
  readonly autostopRequirementWeeks: number;
  readonly autostartBlockDaysOfWeek: number;
  readonly failureTtlMs: number;
  readonly timeTilAutostopNotifyMs: number;
  readonly timeTilDormantMs: number;
  readonly timeTilDormantAutodeleteMs: number;
  readonly requireActiveVersion: boolean;
  readonly maxPortSharingLevel: PortSharingLevel;
  readonly useClassicParameterFlow: boolean;
  readonly corsBehavior: CorsBehavior;
  readonly disableModuleCache: boolean;
  /** Ours: a claim may hand its agent over before Terraform has run. */
  readonly instantClaim: boolean;
}

export const portSharingLevels = ['owner', 'authenticated', 'organization', 'public'] as const;
export type PortSharingLevel = (typeof portSharingLevels)[number];
export const corsBehaviors = ['simple', 'passthru'] as const;
export type CorsBehavior = (typeof corsBehaviors)[number];

/** What a client asks for, already under our names; requirements still as weekday names. */
export interface TemplateSettingsInput extends Partial<
  Omit<TemplateSettings, 'autostopRequirementDaysOfWeek' | 'autostopRequirementWeeks' | 'autostartBlockDaysOfWeek'>
> {
  readonly autostopRequirement?: { readonly daysOfWeek: readonly string[]; readonly weeks: number };
  readonly autostartRequirement?: { readonly daysOfWeek: readonly string[] };
}

/** What a create that names nothing gets (spec/06 §6). */
const defaults: Omit<TemplateSettings, 'name'> = {
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
};

/** 100 years: an instant plus a longer duration leaves what a timestamp can hold. */
const longestMs = 100 * 365 * 24 * 3_600_000;
/** The lifecycle looks once a minute, so a shorter value could not be kept. */
const shortestMs = 60_000;
const maxDescription = 128;
const maxIcon = 256;
const maxDeprecation = 4096;
const maxWeeks = 16;

type DurationKey =
  | 'defaultTtlMs'
  | 'activityBumpMs'
  | 'failureTtlMs'
  | 'timeTilDormantMs'
  | 'timeTilDormantAutodeleteMs'
  | 'timeTilAutostopNotifyMs';
export type DurationFields = Readonly<Record<DurationKey, string>>;

/** Names of the durations in each request; two of them differ for historical reasons. */
export const createDurationFields: DurationFields = {
  defaultTtlMs: 'default_ttl_ms',
  activityBumpMs: 'activity_bump_ms',
  failureTtlMs: 'failure_ttl_ms',
  timeTilDormantMs: 'dormant_ttl_ms',
  timeTilDormantAutodeleteMs: 'delete_ttl_ms',
  timeTilAutostopNotifyMs: 'time_til_autostop_notify_ms',
};
export const patchDurationFields: DurationFields = {
  ...createDurationFields,
  timeTilDormantMs: 'time_til_dormant_ms',
  timeTilDormantAutodeleteMs: 'time_til_dormant_autodelete_ms',
};
/** Those that a PATCH refuses below one minute. */
const atLeastAMinute: readonly DurationKey[] = [
  'failureTtlMs',
  'timeTilDormantMs',
  'timeTilDormantAutodeleteMs',
  'timeTilAutostopNotifyMs',
];

function durationProblem(value: number, shortest: number): string | undefined {
  if (!Number.isInteger(value)) return 'must be a whole number of milliseconds';
  if (value < 0) return 'must not be negative';
  if (value !== 0 && value < shortest) return `must be 0 (off) or at least ${shortest}`;
  return value > longestMs ? `must be at most ${longestMs}` : undefined;
}

/** Checks everything that is given and says all that is wrong at once; returns the columns that were given. */
function readSettings(
  input: TemplateSettingsInput,
  rules: { durationFields: DurationFields; shortestMs: number },
): Partial<TemplateSettings> {
  const offences: FieldError[] = [];
  const check = (field: string, problem: string | undefined) => {
    if (problem !== undefined) offences.push({ field, detail: problem });
  };
  const atMost = (text: string, max: number) => (text.length > max ? `must have at most ${max} characters` : undefined);
  const { autostopRequirement, autostartRequirement, ...plain } = input;
  if (plain.name !== undefined) check('name', nameProblem('template', plain.name));
  if (plain.displayName !== undefined) check('display_name', displayNameProblem(plain.displayName));
  if (plain.description !== undefined) check('description', atMost(plain.description, maxDescription));
  if (plain.icon !== undefined) check('icon', atMost(plain.icon, maxIcon));
  if (plain.deprecated !== undefined) check('deprecation_message', atMost(plain.deprecated, maxDeprecation));
  for (const key of Object.keys(rules.durationFields) as DurationKey[]) {
    const value = plain[key];
    const shortest = atLeastAMinute.includes(key) ? rules.shortestMs : 0;
    if (value !== undefined) check(rules.durationFields[key], durationProblem(value, shortest));
  }
  let bitmaps: Partial<TemplateSettings> = {};
  if (autostopRequirement !== undefined) {
    const days = daysToBitmap(autostopRequirement.daysOfWeek);
    if ('problem' in days) check('autostop_requirement.days_of_week', days.problem);
    const { weeks } = autostopRequirement;
    if (!Number.isInteger(weeks) || weeks < 0 || weeks > maxWeeks)
      check('autostop_requirement.weeks', `must be a whole number from 0 to ${maxWeeks}`);
    // 0 means every week; stored as what it means.
    if ('bitmap' in days)
      bitmaps = { autostopRequirementDaysOfWeek: days.bitmap, autostopRequirementWeeks: weeks === 0 ? 1 : weeks };
  }
  if (autostartRequirement !== undefined) {
    const days = daysToBitmap(autostartRequirement.daysOfWeek);
    if ('problem' in days) check('autostart_requirement.days_of_week', days.problem);
    else bitmaps = { ...bitmaps, autostartBlockDaysOfWeek: everyDay & ~days.bitmap };
  }
  if (offences.length > 0)
    throw new DomainError('INVALID_INPUT', 'Some template settings are not valid', { validations: offences });
  return { ...plain, ...bitmaps };
}

/** Settings of a new template: what was given over the defaults. Throws INVALID_INPUT naming every bad field. */
export const newTemplateSettings = (input: TemplateSettingsInput & { readonly name: string }): TemplateSettings => ({
  ...defaults,
  name: input.name,
  ...readSettings(input, { durationFields: createDurationFields, shortestMs: 0 }),
});

/** What clients of old leave out when they mean 0 or false (CODER_TEMPLATE_PATCH_ZERO_FILL). */
const zeroes: TemplateSettingsInput = {
  defaultTtlMs: 0,
  activityBumpMs: 0,
  failureTtlMs: 0,
  timeTilDormantMs: 0,
  timeTilDormantAutodeleteMs: 0,
  timeTilAutostopNotifyMs: 0,
  allowUserAutostart: false,
  allowUserAutostop: false,
  allowUserCancelWorkspaceJobs: false,
  requireActiveVersion: false,
};

/**
 * The settings that a PATCH really changes; none = nothing to do (304). Absent = unchanged, unless `zeroFill` reads an
 * absent number or boolean as 0 or false; an empty name is ignored, a name that stays is not judged again. Throws
 * INVALID_INPUT naming every bad field. Source: spec/06 §6 "PATCH semantics".
 */
export function changedTemplateSettings(
  current: TemplateSettings,
  input: TemplateSettingsInput,
  options: { readonly zeroFill: boolean },
): Partial<TemplateSettings> {
  const { name, ...rest } = input;
  const named = name === undefined || name === '' || name === current.name ? {} : { name };
  const wanted = readSettings(
    { ...(options.zeroFill && zeroes), ...rest, ...named },
    { durationFields: patchDurationFields, shortestMs },
  );
  return Object.fromEntries(
    Object.entries(wanted).filter(
      ([key, value]) => value !== undefined && value !== current[key as keyof TemplateSettings],
    ),
  );
}

/** What a change of settings moves in the template's live workspaces, prebuilds left out. Source: spec/04 §7. */
export interface WorkspaceEffects {
  /** New TTL of every workspace; null = none, absent = as before. */
  readonly ttlMs?: number | null;
  /** Running builds lose their deadline, as far as their hard limit allows. */
  readonly clearsDeadlines: boolean;
  /** Another required stop: the hard limits of running builds. */
  readonly movesRequiredStops: boolean;
  /** Another rule for automatic starts: `next_start_at` of every workspace. */
  readonly movesStarts: boolean;
  /** Another time until dormant workspaces are deleted: `deleting_at`. */
  readonly movesDeletions: boolean;
}

export function planWorkspaceEffects(before: TemplateSettings, change: Partial<TemplateSettings>): WorkspaceEffects {
  const after = { ...before, ...change };
  const moves = (...keys: (keyof TemplateSettings)[]): boolean => keys.some((key) => after[key] !== before[key]);
  const ttlMoves = !after.allowUserAutostop && moves('defaultTtlMs', 'allowUserAutostop');
  return {
    ...(ttlMoves && { ttlMs: after.defaultTtlMs === 0 ? null : after.defaultTtlMs }),
    clearsDeadlines: ttlMoves && after.defaultTtlMs === 0,
    movesRequiredStops: moves('autostopRequirementDaysOfWeek', 'autostopRequirementWeeks'),
    movesStarts: moves('allowUserAutostart', 'autostartBlockDaysOfWeek'),
    movesDeletions: moves('timeTilDormantAutodeleteMs'),
  };
}
