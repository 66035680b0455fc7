import { DomainError } from '../domain/errors.ts';
import { checkParameterDefinition } from '../domain/parameter-validation.ts';
import type { ParameterType, TemplateParameter } from '../domain/provisioned.ts';
import { compareBytes } from '../domain/text-order.ts';
import type { TerraformInstance } from './instances.ts';
import { type JsonObject, blockAt, blocksAt, flagAt, numberAt, textAt } from './json.ts';

const types: readonly ParameterType[] = ['string', 'number', 'bool', 'list(string)'];

/**
 * `data "coder_parameter"` of all modules. Names are global; every duplicate is named at once. Sorted by order, then
 * name. Throws DomainError INVALID_TEMPLATE. Source: spec/02 §2.5.
 */
export function readParameters(instances: readonly TerraformInstance[]): TemplateParameter[] {
  const parameters = instances.map(readParameter);
  const counts = new Map<string, number>();
  for (const { name } of parameters) counts.set(name, (counts.get(name) ?? 0) + 1);
  const duplicates = [...counts].filter(([, count]) => count > 1).map(([name]) => `"${name}"`);
  if (duplicates.length > 0)
    throw new DomainError(
      'INVALID_TEMPLATE',
      `coder_parameter names must be unique, also across modules: ${duplicates.toSorted().join(', ')} used more than once.`,
    );
  return parameters.toSorted((a, b) => a.displayOrder - b.displayOrder || compareBytes(a.name, b.name));
}

function readParameter(instance: TerraformInstance): TemplateParameter {
  const { values } = instance;
  const validation = blockAt(values, 'validation') ?? {};
  const type = textAt(values, 'type');
  const monotonic = textAt(validation, 'monotonic');
  const parameter: TemplateParameter = {
    name: textAt(values, 'name'),
    displayName: textAt(values, 'display_name'),
    description: textAt(values, 'description'),
    icon: textAt(values, 'icon'),
    type: types.find((known) => known === type) ?? 'string',
    formType: textAt(values, 'form_type'),
    mutable: flagAt(values, 'mutable'),
    defaultValue: textAt(values, 'default'),
    // The provider says `optional = false` exactly when there is no default.
    required: !flagAt(values, 'optional'),
    options: blocksAt(values, 'option').map((option) => ({
      name: textAt(option, 'name'),
      description: textAt(option, 'description'),
      value: textAt(option, 'value'),
      icon: textAt(option, 'icon'),
    })),
    validationRegex: textAt(validation, 'regex'),
    validationError: textAt(validation, 'error'),
    validationMonotonic: monotonic === 'increasing' || monotonic === 'decreasing' ? monotonic : '',
    validationMin: bound(validation, 'min'),
    validationMax: bound(validation, 'max'),
    displayOrder: numberAt(values, 'order'),
    ephemeral: flagAt(values, 'ephemeral'),
  };
  const problem = checkParameterDefinition(parameter);
  if (problem !== null) throw new DomainError('INVALID_TEMPLATE', `${instance.address}: ${problem}`);
  return parameter;
}

/** The provider always gives 0 and says beside it whether that means "none". */
const bound = (validation: JsonObject, key: 'min' | 'max'): number | null =>
  typeof validation[key] === 'number' && !flagAt(validation, `${key}_disabled`) ? numberAt(validation, key) : null;
