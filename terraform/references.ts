import type { TemplateReferences } from '../domain/provisioned.ts';
import { labelOf } from './instances.ts';
import type { GraphEdge } from './graph.ts';
import { type JsonObject, isObject, listAt, objectAt, textAt, textsAt } from './json.ts';

/**
 * Follows expression references through the configuration of a plan: `var.x` to the module call's argument,
 * `module.m.out` to the module's output, `each.…` to the `for_each` of its block. Locals are not in the plan's JSON; what
 * goes through them is left to the graph. Source: spec/02 §4.3, §4.5, §4.9.
 */
interface ConfigModule {
  readonly path: string;
  readonly config: JsonObject;
  /** The call that made this module, and the module that called. */
  readonly call: JsonObject;
  readonly parent: ConfigModule | null;
}

interface ConfigResource {
  readonly label: string;
  readonly type: string;
  readonly config: JsonObject;
  readonly module: ConfigModule;
}

const inModule = (path: string, name: string): string => (path === '' ? name : `${path}.${name}`);
const childOf = (parent: ConfigModule, name: string): ConfigModule => {
  const call = objectAt(objectAt(parent.config, 'module_calls'), name);
  return { path: inModule(parent.path, `module.${name}`), config: objectAt(call, 'module'), call, parent };
};

function* resourcesOf(module: ConfigModule): Generator<ConfigResource> {
  for (const resource of listAt(module.config, 'resources').filter(isObject)) {
    const type = textAt(resource, 'type');
    const prefix = resource['mode'] === 'data' ? 'data.' : '';
    const label = inModule(module.path, `${prefix}${type}.${textAt(resource, 'name')}`);
    yield { label, type, config: resource, module };
  }
  for (const name of Object.keys(objectAt(module.config, 'module_calls'))) yield* resourcesOf(childOf(module, name));
}

/** Terraform itself refuses modules nested without end; a crafted plan must not recurse without end either. */
const maxHops = 64;

/** Full addresses (labels with literal keys and attribute names) that the references reach, in order of appearance. */
function* resolve(references: readonly string[], block: JsonObject, at: ConfigModule, hops = 0): Generator<string> {
  if (hops > maxHops) return;
  for (const reference of references) {
    const [first = '', second = '', third = ''] = labelOf(reference).split('.');
    if (first === 'var') {
      if (at.parent === null) continue;
      yield* resolve(
        textsAt(objectAt(objectAt(at.call, 'expressions'), second), 'references'),
        at.call,
        at.parent,
        hops + 1,
      );
    } else if (first === 'each') {
      yield* resolve(textsAt(objectAt(block, 'for_each_expression'), 'references'), {}, at, hops + 1);
    } else if (first === 'module') {
      if (third === '') continue;
      const child = childOf(at, second);
      const output = objectAt(objectAt(objectAt(child.config, 'outputs'), third), 'expression');
      yield* resolve(textsAt(output, 'references'), {}, child, hops + 1);
    } else if (first !== 'data' && first !== 'local') {
      yield inModule(at.path, reference);
    }
  }
}

/** `coder_agent.main[0].id` → address `coder_agent.main[0]`; keeps a literal key, drops attribute names. */
export function addressOfReference(reference: string): string {
  const parts: string[] = [];
  let depth = 0;
  let quoted = false;
  let part = '';
  for (let i = 0; i < reference.length; i++) {
    const character = reference[i] ?? '';
    if (character === '"' && reference[i - 1] !== '\\') quoted = !quoted;
    if (!quoted && character === '[') depth++;
    if (!quoted && character === ']') depth--;
    if (character === '.' && depth === 0) {
      parts.push(part);
      part = '';
    } else part += character;
  }
  parts.push(part);
  let at = 0;
  while (parts[at] === 'module') at += 2;
  return parts.slice(0, at + 2).join('.');
}

const childTypes = new Set(['coder_app', 'coder_script', 'coder_env', 'coder_devcontainer', 'coder_agent_instance']);
const hostTypes = new Set(['coder_agent', 'coder_devcontainer']);

/**
 * What each child and each `coder_metadata` names, and whether anything can cost, from the configuration in a plan's JSON, plus the graph's edges.
 * `present` are the labels that have an instance in the plan.
 * A value keeps a literal instance key (`terraform_data.vm[1]`) because at plan time nothing else tells which instance.
 */
export function referencesOfConfiguration(
  configuration: JsonObject,
  edges: readonly GraphEdge[],
  present: ReadonlySet<string>,
): TemplateReferences {
  const root: ConfigModule = { path: '', config: objectAt(configuration, 'root_module'), call: {}, parent: null };
  const resources = [...resourcesOf(root)];
  const typeOf = new Map(resources.map((resource) => [resource.label, resource.type]));
  const reached = (resource: ConfigResource, attribute: string): string[] => {
    const expression = objectAt(objectAt(resource.config, 'expressions'), attribute);
    return [...resolve(textsAt(expression, 'references'), resource.config, resource.module)];
  };
  const agentOf: Record<string, string> = {};
  const metadataOf: Record<string, string> = {};
  const provisioned: string[] = [];
  let mayCost = false;
  for (const resource of resources) {
    if (listAt(resource.config, 'provisioners').length > 0) provisioned.push(resource.label);
    if (childTypes.has(resource.type)) {
      const hosts = reached(resource, 'agent_id')
        .map(addressOfReference)
        .filter((address) => hostTypes.has(typeOf.get(labelOf(address)) ?? ''));
      // `cond ? agent.a.id : agent.b.id` names both; the one that exists in this plan is meant.
      const host = hosts.find((address) => present.has(labelOf(address))) ?? hosts[0];
      if (host !== undefined) agentOf[resource.label] = host;
    } else if (resource.type === 'coder_metadata') {
      mayCost ||= hasCost(objectAt(resource.config, 'expressions'));
      const targets = reached(resource, 'resource_id').filter((reference) =>
        isInfrastructure(typeOf.get(labelOf(addressOfReference(reference)))),
      );
      const longest = targets.toSorted((a, b) => b.length - a.length)[0];
      if (longest !== undefined) metadataOf[resource.label] = addressOfReference(longest);
    }
  }
  return { edges, agentOf, metadataOf, provisioned: provisioned.toSorted(), mayCost };
}

/** What is written there is listed even when its value cannot be told (a function call: `{}`); a variable may be anything. */
function hasCost(expressions: JsonObject): boolean {
  const cost = expressions['daily_cost'];
  return isObject(cost) && !('constant_value' in cost && (cost['constant_value'] ?? 0) === 0);
}

const isInfrastructure = (type: string | undefined): boolean =>
  type !== undefined && (!type.startsWith('coder_') || type === 'coder_external_agent');
