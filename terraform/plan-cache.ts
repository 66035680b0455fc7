import { type JsonObject, flagAt, isObject, objectAt, objectOf, textAt } from './json.ts';

const ownerSecrets = ['session_token', 'oidc_access_token', 'ssh_private_key'];
type Json = Record<string, unknown>;

/** Copy of `value` without what `mask` marks: `true` removes, objects and arrays are followed. */
export function withoutSensitive(value: unknown, mask: unknown): unknown {
  if (mask === true) return null;
  if (Array.isArray(value)) {
    const masks: readonly unknown[] = Array.isArray(mask) ? mask : [];
    return value.map((item, i) => withoutSensitive(item, masks[i]));
  }
  if (!isObject(value)) return value;
  const masks = objectOf(mask);
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key]) => masks[key] !== true)
      .map(([key, item]) => [key, withoutSensitive(item, masks[key])]),
  );
}

const withoutOwnerSecrets = (type: string, values: unknown): unknown =>
  type === 'coder_workspace_owner' && isObject(values)
    ? Object.fromEntries(Object.entries(values).filter(([key]) => !ownerSecrets.includes(key)))
    : values;

function filterModule(module: unknown): unknown {
  if (!isObject(module)) return module;
  const copy: Json = { ...module };
  if (Array.isArray(copy['resources']))
    copy['resources'] = copy['resources'].filter(isObject).map((resource) => ({
      ...resource,
      values: withoutOwnerSecrets(
        textAt(resource, 'type'),
        withoutSensitive(resource['values'], resource['sensitive_values']),
      ),
    }));
  if (Array.isArray(copy['child_modules'])) copy['child_modules'] = copy['child_modules'].map(filterModule);
  return copy;
}

function filterValues(values: unknown): unknown {
  if (!isObject(values)) return values;
  const copy: Json = { ...values };
  if (isObject(copy['outputs'])) copy['outputs'] = filterOutputs(copy['outputs']);
  if ('root_module' in copy) copy['root_module'] = filterModule(copy['root_module']);
  return copy;
}

const filterOutputs = (outputs: JsonObject): Json =>
  Object.fromEntries(
    Object.entries(outputs)
      .filter((entry): entry is [string, JsonObject] => isObject(entry[1]))
      .map(([name, output]) => [name, { ...output, value: withoutSensitive(output['value'], output['sensitive']) }]),
  );

const filterChange = (type: string, change: JsonObject): Json => ({
  ...change,
  before: withoutOwnerSecrets(type, withoutSensitive(change['before'], change['before_sensitive'])),
  after: withoutOwnerSecrets(type, withoutSensitive(change['after'], change['after_sensitive'])),
});

const filterChanges = (changes: unknown): unknown =>
  Array.isArray(changes)
    ? changes
        .filter(isObject)
        .map((change) => ({ ...change, change: filterChange(textAt(change, 'type'), objectAt(change, 'change')) }))
    : changes;

/** Defaults of sensitive variables stand in the configuration, too. */
function filterConfigModule(module: unknown): unknown {
  if (!isObject(module)) return module;
  const copy: Json = { ...module };
  if (isObject(copy['variables']))
    copy['variables'] = Object.fromEntries(
      Object.entries(copy['variables']).map(([name, variable]) => {
        if (!isObject(variable) || !flagAt(variable, 'sensitive')) return [name, variable];
        const { default: _removed, ...rest } = variable;
        return [name, rest];
      }),
    );
  if (isObject(copy['module_calls']))
    copy['module_calls'] = Object.fromEntries(
      Object.entries(copy['module_calls']).map(([name, call]) =>
        isObject(call) ? [name, { ...call, module: filterConfigModule(call['module']) }] : [name, call],
      ),
    );
  return copy;
}

/**
 * The part of a plan that may be stored as `cached_plan`: no variables, nothing that a mask marks sensitive, no secrets
 * of the owner. Source: spec/02 §4.1 (last line), §5.6. The input is not changed.
 */
export function filterPlanForCache(plan: JsonObject): JsonObject {
  const { variables: _removed, ...rest } = plan;
  const copy: Json = { ...rest };
  if ('planned_values' in copy) copy['planned_values'] = filterValues(copy['planned_values']);
  if (isObject(copy['prior_state']))
    copy['prior_state'] = { ...copy['prior_state'], values: filterValues(copy['prior_state']['values']) };
  for (const key of ['resource_changes', 'resource_drift']) if (key in copy) copy[key] = filterChanges(copy[key]);
  if (isObject(copy['output_changes']))
    copy['output_changes'] = Object.fromEntries(
      Object.entries(copy['output_changes'])
        .filter((entry): entry is [string, JsonObject] => isObject(entry[1]))
        .map(([name, change]) => [name, filterChange('', change)]),
    );
  if (isObject(copy['configuration'])) {
    const configuration = copy['configuration'];
    // Provider arguments may carry credentials as constants; nobody reads them from the cache.
    const { provider_config: _providers, ...others } = configuration;
    copy['configuration'] = { ...others, root_module: filterConfigModule(configuration['root_module']) };
  }
  return copy;
}
