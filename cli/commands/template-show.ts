import type { Client } from '../client.ts';
import { duration, facts, table } from '../format.ts';
import type { Colors } from '../output.ts';
import type { Preset, Template, TemplateVersion } from '../types.ts';

export interface Parameter {
  readonly name: string;
  readonly description_plaintext: string;
  readonly type: string;
  readonly mutable: boolean;
  readonly ephemeral: boolean;
  readonly required: boolean;
  readonly default_value: string;
  readonly options: readonly { readonly name: string; readonly value: string }[];
  readonly validation_regex?: string;
  readonly validation_min?: number;
  readonly validation_max?: number;
  readonly validation_monotonic?: string;
}

/** What a template takes and offers, as a document and as text. */
export async function describeTemplate(client: Client, template: Template, version: TemplateVersion) {
  const path = `/api/v2/templateversions/${version.id}`;
  const [parameters, presets] = await Promise.all([
    client.get<Parameter[]>(`${path}/rich-parameters`),
    client.get<Preset[]>(`${path}/presets`),
  ]);
  return {
    document: { template, version, parameters, presets },
    text: (colors: Colors): string =>
      [
        templateFacts(template, version, colors),
        parameters.length === 0 ? '' : `\n${parametersText(parameters, colors)}`,
        presets.length === 0 ? '' : `\n${presetsText(presets, colors)}`,
      ]
        .filter((part) => part !== '')
        .join('\n'),
  };
}

const templateFacts = (template: Template, version: TemplateVersion, colors: Colors): string =>
  facts(
    [
      ['template', template.name],
      ['display name', template.display_name],
      ['description', template.description],
      ['version', `${version.name}${version.id === template.active_version_id ? ' (active)' : ''}`],
      ['stops after', template.default_ttl_ms === 0 ? null : duration(template.default_ttl_ms)],
      ['instant claims', template.instant_claim ? null : 'off'],
      ['deprecated', template.deprecated ? template.deprecation_message : null],
      ['id', template.id],
    ],
    colors,
  );

function parametersText(parameters: readonly Parameter[], colors: Colors): string {
  const rows = parameters.map((parameter) => [
    parameter.name,
    parameter.type,
    parameter.required ? '(required)' : parameter.default_value,
    ruleText(parameter),
    parameter.description_plaintext.split('\n')[0] ?? '',
  ]);
  return table(['PARAMETER', 'TYPE', 'DEFAULT', 'RULES', 'DESCRIPTION'], rows, colors);
}

/** What a value has to be, in a few words. */
export function ruleText(parameter: Parameter): string {
  const { validation_min: min, validation_max: max } = parameter;
  const range =
    min !== undefined && max !== undefined
      ? `${min}…${max}`
      : min !== undefined
        ? `≥ ${min}`
        : max === undefined
          ? ''
          : `≤ ${max}`;
  return [
    parameter.options.map((option) => option.value).join('|'),
    range,
    parameter.validation_monotonic ?? '',
    parameter.validation_regex === undefined || parameter.validation_regex === '' ? '' : parameter.validation_regex,
    parameter.ephemeral ? 'this start only' : parameter.mutable ? '' : 'fixed at creation',
  ]
    .filter((rule) => rule !== '')
    .join(', ');
}

function presetsText(presets: readonly Preset[], colors: Colors): string {
  const rows = presets.map((preset) => [
    preset.Name,
    preset.Default ? 'default' : '',
    preset.DesiredPrebuildInstances === null ? '' : String(preset.DesiredPrebuildInstances),
    preset.Description,
  ]);
  return table(['PRESET', '', 'IN RESERVE', 'DESCRIPTION'], rows, colors);
}
