import type { TemplateReferences } from '../../../domain/provisioned.ts';
import { type TerraformInstance, indexText, labelOf } from '../../../terraform/instances.ts';

/** An instance from its address (`module.a[0].coder_app.x["k"]`); the test states the values that matter. */
export function instance(address: string, values: Record<string, unknown> = {}): TerraformInstance {
  const match = /^(?:(module\..*?)\.)?(data\.)?([a-z_0-9]+)\.([A-Za-z_0-9-]+)(?:\[(.*)\])?$/.exec(address);
  if (!match) throw new Error(`not an address: ${address}`);
  const [, modulePath = '', data, type = '', name = '', key] = match;
  const indexKey = key === undefined ? null : (JSON.parse(key) as string | number);
  if (!address.endsWith(indexText(indexKey))) throw new Error(`odd key in ${address}`);
  return {
    address,
    label: labelOf(address),
    modulePath,
    mode: data === undefined ? 'managed' : 'data',
    type,
    name,
    indexKey,
    values,
  };
}

export const agent = (name: string, values: Record<string, unknown> = {}): TerraformInstance =>
  instance(`coder_agent.${name}`, { id: `id-of-${name}`, os: 'linux', arch: 'amd64', auth: 'token', ...values });

export const references = (overrides: Partial<TemplateReferences> = {}): TemplateReferences => ({
  edges: [],
  agentOf: {},
  metadataOf: {},
  ...overrides,
});

/** Ids in order, in the shape of a uuid. */
export function countedIds(): () => string {
  let count = 0;
  return () => `00000000-0000-4000-8000-${String(count++).padStart(12, '0')}`;
}

/** Freezes everything below, so that a write would throw. */
export function deepFrozen<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const item of Object.values(value)) deepFrozen(item);
  }
  return value;
}
