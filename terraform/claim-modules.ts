import { type ModuleFiles, type ModuleSource, parseModule, unreadSource } from './claim-sources.ts';
import type { HclBody } from './hcl.ts';
import { type JsonObject, blocksAt, objectAt, textAt } from './json.ts';

/** A module of a plan's configuration together with its source. */
export interface ClaimModule {
  /** `module.a.module.b`, empty for the root. */
  readonly path: string;
  readonly config: JsonObject;
  readonly source: ModuleSource;
  /** Null for the root. */
  readonly caller: {
    readonly module: ClaimModule;
    readonly call: JsonObject;
    readonly bodies: readonly HclBody[];
  } | null;
  /** By name. */
  readonly children: ReadonlyMap<string, ClaimModule>;
  /** By label in the module: `coder_agent.main`, `data.coder_workspace.me`. */
  readonly resources: ReadonlyMap<string, ClaimResource>;
}

export interface ClaimResource {
  /** With the module's path. */
  readonly label: string;
  readonly managed: boolean;
  readonly type: string;
  readonly config: JsonObject;
  readonly module: ClaimModule;
  /** Empty when its source was not read. */
  readonly bodies: readonly HclBody[];
}

export const labelIn = (module: Pick<ClaimModule, 'path'>, name: string): string =>
  module.path === '' ? name : `${module.path}.${name}`;

/** Every module by path, callers before those they call. */
export function readClaimModules(rootModule: JsonObject, files: ModuleFiles): ReadonlyMap<string, ClaimModule> {
  const parsed = new Map<ReadonlyMap<string, string>, ModuleSource>();
  const sourceOf = (path: string): ModuleSource => {
    const texts = files.get(path);
    if (texts === undefined) return unreadSource;
    const source = parsed.get(texts) ?? parseModule(texts);
    parsed.set(texts, source);
    return source;
  };
  const modules = new Map<string, ClaimModule>();
  const read = (path: string, config: JsonObject, caller: ClaimModule['caller']): ClaimModule => {
    const source = sourceOf(path);
    const children = new Map<string, ClaimModule>();
    const resources = new Map<string, ClaimResource>();
    const module: ClaimModule = { path, config, source, caller, children, resources };
    modules.set(path, module);
    for (const resource of blocksAt(config, 'resources')) {
      const managed = resource['mode'] === 'managed';
      const type = textAt(resource, 'type');
      const name = `${type}.${textAt(resource, 'name')}`;
      const local = managed ? name : `data.${name}`;
      const bodies = source.bodies.get(managed ? `resource.${name}` : local) ?? [];
      resources.set(local, { label: labelIn(module, local), managed, type, config: resource, module, bodies });
    }
    const calls = objectAt(config, 'module_calls');
    for (const name of Object.keys(calls)) {
      const call = objectAt(calls, name);
      const own = { module, call, bodies: source.bodies.get(`module.${name}`) ?? [] };
      children.set(name, read(labelIn(module, `module.${name}`), objectAt(call, 'module'), own));
    }
    return module;
  };
  read('', rootModule, null);
  return modules;
}

/** Whether a started workspace has exactly one of it, whatever its parameters are. */
export function isAlwaysThere({ config, module, bodies }: ClaimResource): boolean {
  const isOnce = (block: JsonObject, [body]: ClaimResource['bodies']): boolean =>
    !('for_each_expression' in block) &&
    (!('count_expression' in block) ||
      /^data\.coder_workspace\.[\w-]+\.start_count$/.test(body?.attributes.get('count')?.text ?? ''));
  if (!isOnce(config, bodies)) return false;
  for (let { caller } = module; caller !== null; { caller } = caller.module)
    if (caller.bodies.length !== 1 || !isOnce(caller.call, caller.bodies)) return false;
  return true;
}
