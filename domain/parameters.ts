import { DomainError, type FieldError } from './errors.ts';
import type { Transition } from './jobs.ts';
import { validateParameterValue } from './parameter-validation.ts';
import type { TemplateParameter, TemplatePreset } from './provisioned.ts';
import { compareBytes } from './text-order.ts';

export { validateParameterValue } from './parameter-validation.ts';

export interface ParameterValue {
  readonly name: string;
  readonly value: string;
}

export interface ResolveParametersInput {
  /** Of the template version that is built. */
  readonly parameters: readonly TemplateParameter[];
  /** `rich_parameter_values` of the request. */
  readonly requested: readonly ParameterValue[];
  /** Values of the preset that applies; null = none. */
  readonly preset: readonly ParameterValue[] | null;
  /** Stored values of the previous build; empty for a first one. */
  readonly previous: readonly ParameterValue[];
  readonly transition: Transition;
  readonly isFirstBuild: boolean;
  /** Claim of a prebuild: whether its immutable values fit was decided before. */
  readonly isClaim: boolean;
  /** A workspace that is created refuses unknown names; a later build ignores stale ones. */
  readonly mode: 'create' | 'build';
}

export interface ResolvedParameters {
  /** Every parameter of the version, defaults too, in the version's order: what is stored. */
  readonly values: readonly ParameterValue[];
  /** Requested names that were left out, for an info line of the job log. */
  readonly ignored: readonly string[];
}

/**
 * Values of a build: preset before request before previous build (not for ephemeral ones) before default. Throws DomainError
 * INVALID_INPUT with one validation per offending parameter, all at once. Stop and delete take over what there is without
 * judging it, so that a template update cannot lock a workspace. Source: spec/02 §3.6–§3.7, spec/06 §8.1, §9.1.
 */
export function resolveParameters(input: ResolveParametersInput): ResolvedParameters {
  const previous = byName(input.previous);
  if (input.transition !== 'start')
    return {
      values: input.parameters.map((parameter) => ({
        name: parameter.name,
        value: (parameter.ephemeral ? undefined : previous.get(parameter.name)) ?? parameter.defaultValue,
      })),
      ignored: input.requested.map((value) => value.name),
    };
  const offences: FieldError[] = [];
  const preset = byName(input.preset ?? []);
  const requested = new Map<string, string>();
  const ignored: string[] = [];
  const known = new Set(input.parameters.map((parameter) => parameter.name));
  for (const { name, value } of input.requested) {
    if (requested.has(name)) offences.push({ field: name, detail: 'The parameter is given twice.' });
    else if (known.has(name)) requested.set(name, value);
    else if (input.mode === 'create') offences.push({ field: name, detail: 'The template has no such parameter.' });
    else ignored.push(name);
  }
  const values = input.parameters.map((parameter) => {
    const { name } = parameter;
    const explicit = preset.get(name) ?? requested.get(name);
    const last = parameter.ephemeral ? undefined : previous.get(name);
    const { value, problem } = resolveOne(parameter, explicit, last, input.isFirstBuild || input.isClaim);
    if (problem !== null) offences.push({ field: name, detail: problem });
    return { name, value };
  });
  if (offences.length > 0)
    throw new DomainError('INVALID_INPUT', 'Some parameter values are not valid.', { validations: offences });
  return { values, ignored };
}

function resolveOne(
  parameter: TemplateParameter,
  explicit: string | undefined,
  last: string | undefined,
  mayChange: boolean,
): { value: string; problem: string | null } {
  // An empty text for an optional parameter asks for its default.
  const given = explicit === '' && !parameter.required ? parameter.defaultValue : explicit;
  const value = given ?? last ?? parameter.defaultValue;
  if (!parameter.mutable && !mayChange && given !== undefined && last !== undefined && given !== last)
    return { value, problem: 'The parameter cannot be changed after the workspace was created.' };
  if (parameter.required && given === undefined && last === undefined)
    return { value, problem: 'A value is required.' };
  return { value, problem: validateParameterValue(parameter, value, last) };
}

const byName = (values: readonly ParameterValue[]): Map<string, string> =>
  new Map(values.map(({ name, value }) => [name, value]));

/**
 * The preset all of whose values equal the effective ones (requested, else default). Most parameters win, then the default
 * preset, then the name; a preset without parameters fits everything, weakest. null when none fits.
 * Source: spec/06 §8.1, spec/03 §11.1.
 */
export function matchPreset<P extends Pick<TemplatePreset, 'name' | 'isDefault' | 'parameters'>>(
  presets: readonly P[],
  parameters: readonly TemplateParameter[],
  requested: readonly ParameterValue[],
): P | null {
  const given = byName(requested);
  const effective = new Map(
    parameters.map(({ name, defaultValue, required }) => {
      const value = given.get(name);
      return [name, value === undefined || (value === '' && !required) ? defaultValue : value];
    }),
  );
  const fitting = presets.filter((preset) =>
    preset.parameters.every(({ name, value }) => effective.get(name) === value),
  );
  const ranked = fitting.toSorted(
    (a, b) =>
      b.parameters.length - a.parameters.length ||
      Number(b.isDefault) - Number(a.isDefault) ||
      compareBytes(a.name, b.name),
  );
  return ranked[0] ?? null;
}
