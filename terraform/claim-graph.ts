import {
  type Mention,
  argumentsOf,
  changingArguments,
  mentionsInList,
  mentionsInText,
  replaceTriggers,
} from './claim-expressions.ts';
import { type ClaimModule, type ClaimResource, isAlwaysThere, labelIn, readClaimModules } from './claim-modules.ts';
import type { ModuleFiles } from './claim-sources.ts';
import type { HclBody } from './hcl.ts';
import { labelOf } from './instances.ts';
import { type JsonObject, objectAt, textAt, textsAt } from './json.ts';

/**
 * What each object of a configuration is made of. Objects are `terraform_data.vm`, `module.m.local.x`, `module.m.var.x`,
 * `module.m.output.x`, and besides: `terraform_data.vm#` and `module.m#` (whether and how often it is there), `module.m#after`
 * (what it waits for), `module.m#all`, `coder_env.x#agent`, `data.coder_parameter.x#value`, `provider#docker`.
 */
export interface ClaimGraph {
  readonly resources: readonly ClaimResource[];
  readonly edges: ReadonlyMap<string, ReadonlySet<string>>;
  /** References, as the reader knows them, whose value a claim changes or may change. */
  readonly roots: ReadonlySet<string>;
}

const words = (text: string): ReadonlySet<string> => new Set(text.split(' '));

/**
 * Attributes of the provider's data sources that a claim leaves alone (coder/coder 2.20). What is not here changes: another
 * attribute, another data source, one taken as a whole. `own`: as its arguments do.
 */
const dataSources: Readonly<Record<string, { readonly same?: ReadonlySet<string>; readonly own?: 'but id' | 'all' }>> =
  {
    coder_workspace: {
      same: words('id start_count transition template_id template_name template_version access_url access_port'),
    },
    // The ids of these four are new in every run. A parameter's value is stored with the build: who hands over compares it.
    coder_provisioner: { same: words('os arch') },
    coder_parameter: { own: 'but id' },
    coder_workspace_tags: { own: 'but id' },
    coder_script_order: { own: 'but id' },
    coder_workspace_preset: { own: 'all' },
  };

/** Data sources that may read Terraform's environment, where the owner stands. */
const readsEnvironment = /^(external|http|local_command|shell_script|environment_.*)$/;

/** `configuration` of a plan's JSON. */
export function claimGraph(configuration: JsonObject, files: ModuleFiles): ClaimGraph {
  const modules = readClaimModules(objectAt(configuration, 'root_module'), files);
  const graph = new GraphBuilder();
  for (const module of modules.values()) graph.addModule(module);
  const providers = objectAt(configuration, 'provider_config');
  for (const key of Object.keys(providers)) {
    const provider = objectAt(providers, key);
    const module = modules.get(labelOf(textAt(provider, 'module_address')));
    if (module !== undefined) graph.addProvider(key, provider, module);
  }
  return graph;
}

class GraphBuilder implements ClaimGraph {
  readonly resources: ClaimResource[] = [];
  readonly edges = new Map<string, Set<string>>();
  readonly roots = new Set<string>();

  addModule(module: ClaimModule): void {
    const { path, config, source, caller } = module;
    for (const [name, texts] of source.locals)
      this.#say(labelIn(module, `local.${name}`), module, texts.flatMap(mentionsInText));
    for (const resource of module.resources.values()) this.#addResource(resource);
    for (const child of module.children.values()) this.#link(`${path}#all`, `${child.path}#all`);
    if (caller === null) return;

    const said = argumentsOf(caller.call, caller.bodies);
    const [exists, after] = [`${path}#`, `${path}#after`];
    this.#say(exists, caller.module, [...(said.get('count') ?? []), ...(said.get('for_each') ?? [])]);
    this.#say(after, caller.module, mentionsInList(textsAt(caller.call, 'depends_on')));
    if (caller.module.caller !== null) {
      this.#link(exists, `${caller.module.path}#`);
      this.#link(after, `${caller.module.path}#after`);
    }
    for (const name of Object.keys(objectAt(config, 'variables'))) {
      this.#link(`${path}.var.${name}`, exists); // `each.value`
      this.#say(`${path}.var.${name}`, caller.module, said.get(name) ?? []);
    }
    const outputs = objectAt(config, 'outputs');
    for (const name of Object.keys(outputs)) {
      const output = `${path}.output.${name}`;
      const expressions = { value: objectAt(outputs, name)['expression'] };
      this.#link(`${path}#all`, output);
      this.#link(output, exists);
      this.#say(
        output,
        module,
        argumentsOf({ expressions }, source.bodies.get(`output.${name}`) ?? []).get('value') ?? [],
      );
    }
  }

  addProvider(key: string, config: JsonObject, module: ClaimModule): void {
    const alias = (body: HclBody) => body.attributes.get('alias')?.value ?? '';
    const named = module.source.bodies.get(`provider.${textAt(config, 'name')}`) ?? [];
    const bodies = named.filter((body) => alias(body) === textAt(config, 'alias'));
    if (bodies.length === 0 && 'expressions' in config) this.#link(`provider#${key}`, this.#unread(`provider.${key}`));
    this.#say(`provider#${key}`, module, [...argumentsOf(config, bodies).values()].flat());
  }

  #addResource(resource: ClaimResource): void {
    const { label, managed, type, config, module, bodies } = resource;
    this.resources.push(resource);
    this.#link(`${module.path}#all`, label);
    const said = argumentsOf(config, bodies);
    const exists = `${label}#`;
    this.#say(exists, module, [...(said.get('count') ?? []), ...(said.get('for_each') ?? [])]);
    if (module.caller !== null) this.#link(exists, `${module.path}#`);
    this.#link(exists, `provider#${textAt(config, 'provider_config_key')}`);

    this.#link(label, exists);
    this.#say(label, module, changingArguments(config, bodies));
    if (bodies.length === 0) this.#link(label, this.#unread(label));
    if (managed) this.#say(label, module, replaceTriggers(bodies));
    else {
      // Terraform reads it again, and later, when what it waits for changes; to a managed resource that is order alone.
      this.#say(label, module, mentionsInList(textsAt(config, 'depends_on')));
      if (module.caller !== null) this.#link(label, `${module.path}#after`);
    }
    if (type === 'coder_env') this.#say(`${label}#agent`, module, said.get('agent_id') ?? []);
    if (type === 'coder_parameter') {
      this.#link(`${label}#value`, exists);
      // Of one that is not always there no value may be stored: its default counts.
      if (!isAlwaysThere(resource)) this.#link(`${label}#value`, label);
    }
  }

  #say(object: string, module: ClaimModule, mentions: readonly Mention[]): void {
    for (const mention of mentions) {
      const found = this.#resolve(mention, module);
      if (found !== null) this.#link(object, found);
    }
  }

  #link(object: string, part: string): void {
    const parts = this.edges.get(object);
    if (parts === undefined) this.edges.set(object, new Set([part]));
    else parts.add(part);
  }

  #root(reference: string): string {
    this.roots.add(reference);
    return reference;
  }

  readonly #unread = (label: string): string => this.#root(`${label} (its source cannot be read)`);

  /** The object that a reference means; null for what is the same in every run, and for what only looks like a reference. */
  #resolve({ names, certain }: Mention, module: ClaimModule): string | null {
    const [first = '', second = '', third = '', fourth = ''] = names[0] === 'resource' ? names.slice(1) : names;
    const unknown = (): string | null => (certain ? this.#root(labelIn(module, names.join('.'))) : null);
    switch (first) {
      case 'count':
      case 'each':
      case 'self':
      case 'path':
      case 'terraform':
        return null;
      case 'var':
        return labelIn(module, `var.${second}`);
      case 'local': {
        const label = labelIn(module, `local.${second}`);
        if (module.source.locals.has(second)) return label;
        return certain || (second !== '' && !module.source.complete) ? this.#unread(label) : null;
      }
      case 'module': {
        const child = module.children.get(second);
        if (child === undefined) return unknown();
        return Object.hasOwn(objectAt(child.config, 'outputs'), third)
          ? `${child.path}.output.${third}`
          : `${child.path}#all`;
      }
      case 'ephemeral':
        return third === '' ? null : this.#root(labelIn(module, names.join('.')));
      case 'data': {
        const resource = module.resources.get(`data.${second}.${third}`);
        return resource === undefined ? unknown() : this.#resolveData(resource, fourth);
      }
      default:
        return module.resources.get(`${first}.${second}`)?.label ?? unknown();
    }
  }

  #resolveData({ label, type }: ClaimResource, attribute: string): string {
    const root = () => this.#root(attribute === '' ? label : `${label}.${attribute}`);
    if (readsEnvironment.test(type)) return root();
    if (!type.startsWith('coder_')) return label;
    const known = dataSources[type] ?? {};
    if (known.same?.has(attribute) === true) return `${label}#`;
    if (type === 'coder_parameter' && attribute === 'value') return `${label}#value`;
    if (known.own === 'all' || (known.own === 'but id' && attribute !== '' && attribute !== 'id')) return label;
    return root();
  }
}
