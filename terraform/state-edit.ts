import { type Target, addressText, parseTarget, targets } from './addresses.ts';
import { type Edit, type Range, applyEdits, cutElements, elementsAt, memberAt } from './json-ranges.ts';
import { type JsonObject, listAt, objectOf, parseObject, textAt } from './json.ts';
import { parseState } from './state.ts';

export type StateEdit =
  | { readonly kind: 'edited'; readonly bytes: Buffer; readonly serial: number; readonly forgotten: readonly string[] }
  /** No instance has this address; `existing` are those that there are, managed ones first. */
  | { readonly kind: 'unknown'; readonly existing: readonly string[] }
  /** Not a whole Terraform state of version 4. */
  | { readonly kind: 'unreadable' };

interface Block {
  readonly range: Range;
  readonly array: Range;
  readonly instances: readonly { readonly range: Range; readonly target: Target; readonly address: string }[];
}

/**
 * What `terraform state rm <address>` does, without Terraform: takes a resource, one of its instances (with its deposed
 * objects), or a whole module out of a state, and counts the serial up. Works on the text: every other byte stays as
 * Terraform wrote it. `dependencies` of other instances keep the address, as they do there. Source: spec/02 §5.5.
 */
export function forgetInState(bytes: Uint8Array, address: string): StateEdit {
  const state = parseState(bytes);
  if (state === null) return { kind: 'unreadable' };
  // One character per byte: the structure of JSON is ASCII, whatever stands in its strings.
  const text = Buffer.from(bytes).toString('latin1');
  const blocks = readBlocks(text);
  const target = parseTarget(address);
  const goes = (instance: { readonly target: Target }): boolean => target !== null && targets(target, instance.target);
  const forgotten = new Set(blocks.flatMap(({ instances }) => instances.filter(goes).map((one) => one.address)));
  if (forgotten.size === 0) return { kind: 'unknown', existing: existing(blocks) };
  const serial = memberAt(text, text.indexOf('{'), 'serial')!;
  const edits: Edit[] = [{ ...serial, text: String(state.serial + 1) }];
  const empties = ({ instances }: Block): boolean => instances.length > 0 && instances.every(goes);
  const resources = memberAt(text, text.indexOf('{'), 'resources')!;
  edits.push(
    ...cutElements(
      blocks.map(({ range }) => range),
      resources,
      (_range, index) => empties(blocks[index]!),
    ),
  );
  for (const block of blocks.filter((each) => !empties(each) && each.instances.some(goes)))
    edits.push(
      ...cutElements(
        block.instances.map(({ range }) => range),
        block.array,
        (_range, index) => goes(block.instances[index]!),
      ),
    );
  const edited = Buffer.from(applyEdits(text, edits), 'latin1');
  return { kind: 'edited', bytes: edited, serial: state.serial + 1, forgotten: [...forgotten] };
}

/** The resources of a state with the places where they and their instances stand. */
function readBlocks(text: string): Block[] {
  const resources = memberAt(text, text.indexOf('{'), 'resources')!;
  return elementsAt(text, resources.start).map((range) => {
    const array = memberAt(text, range.start, 'instances');
    if (array === undefined) return { range, array: range, instances: [] };
    const resource = objectIn(text, range);
    const parsed = listAt(resource, 'instances');
    const instances = elementsAt(text, array.start).map((place, index) => {
      const target = instanceTarget(resource, objectOf(parsed[index])['index_key']);
      return { range: place, target, address: addressText(target) };
    });
    return { range, array, instances };
  });
}

const objectIn = (text: string, { start, end }: Range): JsonObject =>
  parseObject(Buffer.from(text.slice(start, end), 'latin1')) ?? {};

function instanceTarget(resource: JsonObject, index: unknown): Target {
  const module = parseTarget(textAt(resource, 'module'))?.module ?? [];
  const key = typeof index === 'string' || typeof index === 'number' ? index : null;
  const mode = resource['mode'] === 'data' ? 'data' : 'managed';
  return { module, resource: { mode, type: textAt(resource, 'type'), name: textAt(resource, 'name'), key } };
}

function existing(blocks: readonly Block[]): string[] {
  const all = blocks.flatMap(({ instances }) => instances);
  const of = (mode: 'managed' | 'data') => all.filter(({ target }) => target.resource?.mode === mode);
  return [...new Set([...of('managed'), ...of('data')].map(({ address }) => address))];
}
