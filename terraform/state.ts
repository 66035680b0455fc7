import { moduleInstances } from './plan.ts';
import { type TerraformInstance, byAddress, indexText, isCoderType, labelOf } from './instances.ts';
import { type JsonObject, blocksAt, isObject, listAt, listOf, objectAt, parseObject, textAt } from './json.ts';
import { stringLeaves } from './secrets.ts';

export interface TerraformState {
  readonly serial: number;
  readonly lineage: string;
  readonly terraformVersion: string;
  /** In address order. Deposed objects are left out: they are on their way out. */
  readonly instances: readonly TerraformInstance[];
  /** Values at sensitive paths, for the redactor. */
  readonly sensitive: readonly string[];
}

/**
 * The raw state file (version 4), which Terraform rewrites in place: a reader may see it torn. null then, and for anything
 * that is not a complete state of that version. Source: spec/02 §5.5.
 */
export function parseState(bytes: string | Uint8Array): TerraformState | null {
  const state = parseObject(bytes);
  if (state === null || state['version'] !== 4) return null;
  const serial = state['serial'];
  const lineage = textAt(state, 'lineage');
  if (!Number.isSafeInteger(serial) || typeof serial !== 'number' || serial < 0 || lineage === '') return null;
  if (!Array.isArray(state['resources'])) return null;
  const instances: TerraformInstance[] = [];
  const sensitive = new Set<string>();
  for (const resource of blocksAt(state, 'resources')) {
    for (const instance of blocksAt(resource, 'instances')) {
      for (const path of listAt(instance, 'sensitive_attributes'))
        for (const secret of stringLeaves(valueAt(instance['attributes'], listOf(path)))) sensitive.add(secret);
      if (instance['deposed'] === undefined) instances.push(rawInstance(resource, instance));
    }
  }
  for (const output of Object.values(objectAt(state, 'outputs')))
    if (isObject(output) && output['sensitive'] === true)
      for (const secret of stringLeaves(output['value'])) sensitive.add(secret);
  return {
    serial,
    lineage,
    terraformVersion: textAt(state, 'terraform_version'),
    instances: instances.toSorted(byAddress),
    sensitive: [...sensitive],
  };
}

function rawInstance(resource: JsonObject, instance: JsonObject): TerraformInstance {
  const modulePath = textAt(resource, 'module');
  const mode = resource['mode'] === 'data' ? 'data' : 'managed';
  const type = textAt(resource, 'type');
  const name = textAt(resource, 'name');
  const index = instance['index_key'];
  const indexKey = typeof index === 'string' || typeof index === 'number' ? index : null;
  const address =
    (modulePath === '' ? '' : `${modulePath}.`) +
    (mode === 'data' ? 'data.' : '') +
    `${type}.${name}${indexText(indexKey)}`;
  return {
    address,
    label: labelOf(address),
    modulePath,
    mode,
    type,
    name,
    indexKey,
    values: objectAt(instance, 'attributes'),
  };
}

/** Attributes of dynamic type are stored as `{value, type}`; a path steps over that wrapper. */
function valueAt(value: unknown, path: readonly unknown[]): unknown {
  let at: unknown = value;
  for (const step of path.filter(isObject)) {
    // `get_attr` carries the name itself, `index` a `{value, type}` of the key.
    const raw = step['value'];
    const key = String(isObject(raw) ? raw['value'] : raw);
    if (isObject(at) && !(key in at) && 'value' in at && 'type' in at) at = at['value'];
    if (Array.isArray(at)) at = at[Number(key)];
    else if (isObject(at)) at = at[key];
    else return undefined;
  }
  // Else the words of the type ("string") would count as secrets.
  return isObject(at) && Object.keys(at).length === 2 && 'value' in at && 'type' in at ? at['value'] : at;
}

/**
 * May `next` replace `previous` as a build's state? Same lineage and a higher serial; the first state always may.
 * Source: spec/02 §5.5.
 */
export function isNewerState(
  previous: { readonly serial: number; readonly lineage: string } | null,
  next: { readonly serial: number; readonly lineage: string },
): boolean {
  return previous === null || (previous.lineage === next.lineage && next.serial > previous.serial);
}

/**
 * Address → id of each object in a state that stands for something in the world; what the `coder` provider makes is virtual.
 * An object without an id is told by its values.
 */
export const objectIds = (bytes: string | Uint8Array | undefined): ReadonlyMap<string, string> =>
  new Map(
    (bytes === undefined ? [] : (parseState(bytes)?.instances ?? []))
      .filter(({ mode, type }) => mode === 'managed' && !isCoderType(type))
      .map(({ address, values }) => [address, textAt(values, 'id') || JSON.stringify(values)]),
  );

/** `terraform show -json` of a state; only the tests' cross-check reads it. An empty state has no `values` (§3.4). */
export const showStateInstances = (shown: JsonObject): TerraformInstance[] =>
  [...moduleInstances(objectAt(objectAt(shown, 'values'), 'root_module'))].toSorted(byAddress);
