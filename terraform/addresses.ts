import { indexText } from './instances.ts';

export type IndexKey = string | number | null;

/** `module.a[0]`, `module.b["k"]`: one step of a module path. */
export interface ModuleStep {
  readonly name: string;
  readonly key: IndexKey;
}

/** What an address names: a module with everything in it, or a resource in one. */
export interface Target {
  readonly module: readonly ModuleStep[];
  /** Absent: the whole module. */
  readonly resource?: {
    readonly mode: 'managed' | 'data';
    readonly type: string;
    readonly name: string;
    /** null: all its instances. */
    readonly key: IndexKey;
  };
}

const part = /([^\s.[\]"]+)(?:\[(?:(\d{1,15})|("(?:[^"\\]|\\.)*"))\])?(?:\.(?=.)|$)/sy;

/** `a[0].b["k"]` → steps; null when it is not an address. Keys are compared as values, so any spelling of them will do. */
function stepsOf(text: string): ModuleStep[] | null {
  const steps: ModuleStep[] = [];
  part.lastIndex = 0;
  while (part.lastIndex < text.length) {
    const match = part.exec(text);
    if (match === null) return null;
    const [, name = '', number, quoted] = match;
    const key = number !== undefined ? Number(number) : quoted === undefined ? null : keyOf(quoted);
    if (key === undefined) return null;
    steps.push({ name, key });
  }
  return steps;
}

/** A quoted key with Terraform's doubled template introducers; undefined when the escapes are not those of JSON. */
function keyOf(quoted: string): string | undefined {
  try {
    return JSON.parse(quoted.replaceAll(/([$%])\1(?=\{)/g, '$1')) as string;
  } catch {
    return undefined;
  }
}

/** An address as `terraform state rm` takes it. null when it is none. */
export function parseTarget(address: string): Target | null {
  const steps = stepsOf(address.trim());
  if (steps === null || steps.length === 0) return null;
  const module: ModuleStep[] = [];
  let at = 0;
  for (; steps[at]?.name === 'module' && steps[at]?.key === null; at += 2) {
    const step = steps[at + 1];
    if (step === undefined) return null;
    module.push(step);
  }
  if (at === steps.length) return { module };
  const data = steps[at]?.name === 'data';
  const [type, resource, ...rest] = steps.slice(data ? at + 1 : at);
  if (type === undefined || type.key !== null || resource === undefined || rest.length > 0) return null;
  const { name, key } = resource;
  return { module, resource: { mode: data ? 'data' : 'managed', type: type.name, name, key } };
}

const sameStep = (a: ModuleStep, b: ModuleStep | undefined): boolean => a.name === b?.name && a.key === b.key;

/**
 * Does `target` name this instance? As in Terraform, a module without a key at the end of the path means all its instances,
 * further up it does not. `instance` is a whole address: its resource has the key that the instance has.
 */
export function targets(target: Target, instance: Target): boolean {
  const { module, resource } = target;
  const last = module.length - 1;
  const fits = (step: ModuleStep, index: number): boolean => {
    const theirs = instance.module[index];
    if (resource === undefined && index === last && step.key === null) return step.name === theirs?.name;
    return sameStep(step, theirs);
  };
  if (!module.every(fits)) return false;
  if (resource === undefined) return true;
  const theirs = instance.resource;
  return (
    theirs !== undefined &&
    instance.module.length === module.length &&
    resource.mode === theirs.mode &&
    resource.type === theirs.type &&
    resource.name === theirs.name &&
    (resource.key === null || resource.key === theirs.key)
  );
}

/** The address in Terraform's own spelling. */
export function addressText({ module, resource }: Target): string {
  const path = module.map(({ name, key }) => `module.${name}${indexText(key)}`);
  if (resource !== undefined) {
    const { mode, type, name, key } = resource;
    path.push(`${mode === 'data' ? 'data.' : ''}${type}.${name}${indexText(key)}`);
  }
  return path.join('.');
}
