import { DomainError } from '../domain/errors.ts';
import { scheduleProblems } from '../domain/prebuild-schedules.ts';
import type { TemplateParameter, TemplatePreset } from '../domain/provisioned.ts';
import { invalidTemplate, limited } from './attributes.ts';
import type { TerraformInstance } from './instances.ts';
import { type JsonObject, blockAt, blocksAt, flagAt, mapAt, numberAt, textAt } from './json.ts';

/**
 * `data "coder_workspace_preset"` with its prebuild settings. Checks what the provider lets pass: duplicate names, two
 * defaults, negative instances. Throws DomainError INVALID_TEMPLATE. Source: spec/02 §2.6.
 */
export function readPresets(
  instances: readonly TerraformInstance[],
  parameters: readonly TemplateParameter[],
): { presets: TemplatePreset[]; warnings: string[] } {
  const warnings: string[] = [];
  const presets = instances.map((instance) => readPreset(instance, parameters, warnings));
  const names = presets.map((preset) => preset.name);
  const duplicates = [...new Set(names.filter((name, i) => names.indexOf(name) !== i))];
  if (duplicates.length > 0)
    throw new DomainError(
      'INVALID_TEMPLATE',
      `Preset names must be unique: ${duplicates.map((name) => `"${name}"`).join(', ')} used more than once.`,
    );
  const defaults = presets.filter((preset) => preset.isDefault);
  if (defaults.length > 1)
    throw new DomainError(
      'INVALID_TEMPLATE',
      `Only one preset can be the default: ${defaults.map((preset) => `"${preset.name}"`).join(', ')} all are.`,
    );
  return { presets, warnings };
}

function readPreset(
  instance: TerraformInstance,
  parameters: readonly TemplateParameter[],
  warnings: string[],
): TemplatePreset {
  const { values } = instance;
  const name = textAt(values, 'name');
  if (name === '') throw invalidTemplate(instance, 'a preset needs a name.');
  const given = mapAt(values, 'parameters');
  for (const [parameter, value] of given) {
    if (value === '') throw invalidTemplate(instance, `the value of "${parameter}" must not be empty.`);
    if (!parameters.some((known) => known.name === parameter))
      warnings.push(`Preset "${name}" sets "${parameter}", which is no parameter of this template.`);
  }
  const prebuilds = readPrebuilds(instance);
  const open = parameters.filter((parameter) => parameter.required && !given.has(parameter.name));
  const failed = prebuilds.desiredInstances !== null && open.length > 0;
  const prebuildStatusDetail = failed
    ? `It has prebuilds but gives no value for the required ${open.map((parameter) => `"${parameter.name}"`).join(', ')}.`
    : '';
  if (failed) warnings.push(`Preset "${name}": ${prebuildStatusDetail} No prebuilds are made for it.`);
  return {
    name,
    description: limited(instance, 'description', textAt(values, 'description'), 128),
    icon: limited(instance, 'icon', textAt(values, 'icon'), 256),
    isDefault: flagAt(values, 'default'),
    parameters: [...given].map(([parameter, value]) => ({ name: parameter, value })),
    ...prebuilds,
    prebuildStatus: failed ? 'validation_failed' : 'normal',
    prebuildStatusDetail,
  };
}

type Prebuilds = Pick<TemplatePreset, 'desiredInstances' | 'invalidateAfterSecs' | 'schedulingTimezone' | 'schedules'>;

function readPrebuilds(instance: TerraformInstance): Prebuilds {
  const block = blockAt(instance.values, 'prebuilds');
  if (block === null)
    return { desiredInstances: null, invalidateAfterSecs: null, schedulingTimezone: '', schedules: [] };
  const scheduling = blockAt(block, 'scheduling');
  const schedulingTimezone = textAt(scheduling ?? {}, 'timezone');
  const schedules = blocksAt(scheduling ?? {}, 'schedule').map((schedule) => ({
    cronExpression: textAt(schedule, 'cron').trim().split(/\s+/).join(' '),
    desiredInstances: instancesOf(instance, schedule),
  }));
  const expressions = schedules.map(({ cronExpression }) => cronExpression);
  const [problem] = scheduling === null ? [] : scheduleProblems(schedulingTimezone, expressions);
  if (problem !== undefined) throw invalidTemplate(instance, `${problem}.`);
  return {
    desiredInstances: instancesOf(instance, block),
    invalidateAfterSecs: ttlOf(instance, blockAt(block, 'expiration_policy') ?? {}),
    schedulingTimezone,
    schedules,
  };
}

/** Seconds; null = its prebuilds do not expire. */
function ttlOf(instance: TerraformInstance, policy: JsonObject): number | null {
  const ttl = numberAt(policy, 'ttl');
  if (ttl === 0) return null;
  if (!Number.isInteger(ttl) || ttl < shortestTtl || ttl > longestTtl)
    throw invalidTemplate(
      instance,
      `the ttl of its prebuilds must be 0 or from ${shortestTtl} to ${longestTtl} seconds, not ${ttl}.`,
    );
  return ttl;
}
const shortestTtl = 3600;
const longestTtl = 365 * 24 * 3600;

function instancesOf(instance: TerraformInstance, block: JsonObject): number {
  const instances = numberAt(block, 'instances');
  // The column is of type integer.
  if (!Number.isInteger(instances) || instances < 0 || instances > 2_147_483_647)
    throw invalidTemplate(instance, 'the number of prebuild instances must be a whole number from 0 on.');
  return instances;
}
