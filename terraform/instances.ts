import { compareBytes } from '../domain/text-order.ts';
import type { JsonObject } from './json.ts';

/** One resource or data source instance of a plan or a state, in the shape both are converted from (spec/02 §4.1). */
export interface TerraformInstance {
  /** `module.a[0].coder_agent.main["x"]` */
  readonly address: string;
  /** Address without any `[…]`: what configuration and graph speak of. */
  readonly label: string;
  /** `module.a[0].module.b`, empty for the root. */
  readonly modulePath: string;
  readonly mode: 'managed' | 'data';
  readonly type: string;
  readonly name: string;
  readonly indexKey: string | number | null;
  readonly values: JsonObject;
}

/** Removes every `[…]`, also in module parts and with brackets or quotes inside the key (spec/02 §4.3). */
export function labelOf(address: string): string {
  let label = '';
  for (let i = 0; i < address.length; i++) {
    if (address[i] !== '[') {
      label += address[i];
      continue;
    }
    let quoted = false;
    for (i++; i < address.length && (quoted || address[i] !== ']'); i++) {
      if (address[i] === '\\') i++;
      else if (address[i] === '"') quoted = !quoted;
    }
  }
  return label;
}

/** Terraform's spelling of an instance key: `[0]`, `["a"]`, template introducers doubled. */
export function indexText(key: string | number | null): string {
  if (key === null) return '';
  if (typeof key === 'number') return `[${key}]`;
  return `[${JSON.stringify(key).replaceAll(/[$%](?=\{)/g, (sign) => sign + sign)}]`;
}

/** Byte order of the address: the order of every list that the conversion makes. */
export const byAddress = (a: { readonly address: string }, b: { readonly address: string }): number =>
  compareBytes(a.address, b.address);

/** Same, but numeric keys by number: `[2]` before `[10]`. "The first instance" of a label means this order. */
export const byIndex = (a: TerraformInstance, b: TerraformInstance): number =>
  compareBytes(a.modulePath, b.modulePath) ||
  (typeof a.indexKey === 'number' && typeof b.indexKey === 'number' ? a.indexKey - b.indexKey : byAddress(a, b));

/** A `coder_…` type describes the workspace; everything else is infrastructure. */
/** Type of the resource at an address. */
export const typeOfAddress = (address: string): string => labelOf(address).split('.').at(-2) ?? '';
export const isCoderType = (type: string): boolean => type.startsWith('coder_');
