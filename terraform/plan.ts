import { DomainError } from '../domain/errors.ts';
import type { TemplateReferences } from '../domain/provisioned.ts';
import { readGraph } from './graph.ts';
import { type TerraformInstance, byAddress, isCoderType, labelOf } from './instances.ts';
import {
  type JsonObject,
  blocksAt,
  flagAt,
  isObject,
  listAt,
  objectAt,
  objectOf,
  parseObject,
  textAt,
  textsAt,
} from './json.ts';
import { referencesOfConfiguration } from './references.ts';
import { sensitiveValues } from './secrets.ts';

/**
 * `terraform show -json <plan>`. Its JSON is a secret: variables and tokens are in clear text (spec/02 §4.1).
 * Throws DomainError TERRAFORM_FAILED when it is not a whole JSON object.
 */
export function parsePlan(text: string | Uint8Array): JsonObject {
  const plan = parseObject(text);
  if (plan === null) throw new DomainError('TERRAFORM_FAILED', 'Terraform printed a plan that cannot be read.');
  return plan;
}

function instanceOf(resource: JsonObject, modulePath: string): TerraformInstance {
  const address = textAt(resource, 'address');
  const index = resource['index'];
  return {
    address,
    label: labelOf(address),
    modulePath,
    mode: resource['mode'] === 'data' ? 'data' : 'managed',
    type: textAt(resource, 'type'),
    name: textAt(resource, 'name'),
    indexKey: typeof index === 'string' || typeof index === 'number' ? index : null,
    values: objectAt(resource, 'values'),
  };
}

/** Instances of a `root_module` object: child modules first, then the root's own, as parameters are ordered (§2.5). */
export function* moduleInstances(module: JsonObject): Generator<TerraformInstance> {
  for (const child of blocksAt(module, 'child_modules')) yield* moduleInstances(child);
  for (const resource of blocksAt(module, 'resources')) yield instanceOf(resource, textAt(module, 'address'));
}

const rootModule = (values: JsonObject): JsonObject => objectAt(values, 'root_module');

/** Data sources that the plan has read. */
export const readDataSources = (plan: JsonObject): TerraformInstance[] =>
  [...moduleInstances(rootModule(objectAt(objectAt(plan, 'prior_state'), 'values')))].filter(
    (instance) => instance.mode === 'data',
  );

/**
 * What will exist after the plan: data sources that were read plus everything planned. Old managed resources of
 * `prior_state` are left out, else quota and the stop list would count what is being deleted (spec/02 §4.1).
 */
export function planInstances(plan: JsonObject): TerraformInstance[] {
  const planned = [...moduleInstances(rootModule(objectAt(plan, 'planned_values')))];
  return [...readDataSources(plan), ...planned].toSorted(byAddress);
}

/** Made once at import from the start plan and `terraform graph`; kept with the version (design §3). */
export function readReferences(plan: JsonObject, dot: string): TemplateReferences {
  const present = new Set([...moduleInstances(rootModule(objectAt(plan, 'planned_values')))].map((i) => i.label));
  return referencesOfConfiguration(objectAt(plan, 'configuration'), readGraph(dot), present);
}

/** Address → attribute paths that force the replacement. */
export type ResourceReplacements = Readonly<Record<string, readonly string[]>>;

/**
 * Resources that a claim would replace: address → attribute paths (segments joined by dots). `coder_…` types are
 * virtual; what follows from them shows in the resources that refer to them. Source: spec/02 §3.5, spec/03 §14.
 */
export function findReplacements(plan: JsonObject): ResourceReplacements {
  const found: Record<string, string[]> = {};
  for (const resource of blocksAt(plan, 'resource_changes')) {
    const change = objectAt(resource, 'change');
    const actions = textsAt(change, 'actions');
    const paths = listAt(change, 'replace_paths');
    if ((actions.length === 1 && actions[0] === 'no-op') || paths.length === 0) continue;
    if (isCoderType(textAt(resource, 'type'))) continue;
    found[textAt(resource, 'address')] = paths.map((path) => (Array.isArray(path) ? path.join('.') : String(path)));
  }
  return found;
}

/** Addresses of managed resources outside of `coder_…` that the plan changes in any way, in order. */
export function findChanges(plan: JsonObject): string[] {
  return blocksAt(plan, 'resource_changes')
    .filter((resource) => {
      const actions = textsAt(objectAt(resource, 'change'), 'actions');
      const changes = actions.some((action) => action !== 'no-op' && action !== 'read');
      return changes && textAt(resource, 'mode') === 'managed' && !isCoderType(textAt(resource, 'type'));
    })
    .map((resource) => textAt(resource, 'address'))
    .toSorted();
}

/** The parts of a plan's text that tell of these addresses, as `terraform show` prints them. */
export function describeChanges(text: string, addresses: readonly string[]): string[] {
  const wanted = new Set(addresses);
  const lines: string[] = [];
  let shown = false;
  for (const line of text.split('\n')) {
    const head = /^ {2}# (\S+) (?:will|must) be /.exec(line);
    if (head !== null) shown = wanted.has(head[1] ?? '');
    else if (line.startsWith('Plan: ')) shown = false;
    if (shown && line.trim() !== '') lines.push(line);
  }
  return lines;
}

/** Secrets in a plan's JSON: sensitive variables, everything under a `sensitive_…` mask, the owner's keys (§5.6). */
export function planSecrets(plan: JsonObject): Set<string> {
  const secrets = new Set<string>();
  const add = (values: unknown, mask: unknown) => {
    for (const secret of sensitiveValues(values, mask)) secrets.add(secret);
  };
  const declared = objectAt(rootModule(objectAt(plan, 'configuration')), 'variables');
  for (const [name, variable] of Object.entries(objectAt(plan, 'variables')))
    if (flagAt(objectAt(declared, name), 'sensitive')) add(objectOf(variable)['value'], true);
  for (const values of [objectAt(plan, 'planned_values'), objectAt(objectAt(plan, 'prior_state'), 'values')])
    forEachResource(rootModule(values), (resource) => add(resource['values'], resource['sensitive_values']));
  for (const key of ['resource_changes', 'resource_drift']) {
    for (const resource of blocksAt(plan, key)) {
      const change = objectAt(resource, 'change');
      add(change['before'], change['before_sensitive']);
      add(change['after'], change['after_sensitive']);
    }
  }
  for (const output of Object.values(objectAt(objectAt(plan, 'planned_values'), 'outputs')))
    add(objectOf(output)['value'], objectOf(output)['sensitive']);
  return secrets;
}

function forEachResource(module: JsonObject, visit: (resource: JsonObject) => void): void {
  for (const resource of listAt(module, 'resources').filter(isObject)) visit(resource);
  for (const child of blocksAt(module, 'child_modules')) forEachResource(child, visit);
}
