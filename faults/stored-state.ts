/** A managed object as a stored Terraform state has it. */
export interface StoredObject {
  readonly address: string;
  readonly objectId: string;
  /** Terraform will replace it and runs no destroy provisioner for it. */
  readonly tainted: boolean;
}

interface StateFile {
  readonly version: number;
  readonly serial: number;
  readonly resources: readonly {
    readonly mode: string;
    readonly module?: string;
    readonly type: string;
    readonly name: string;
    readonly instances: readonly {
      readonly index_key?: number | string;
      readonly status?: string;
      readonly attributes: { readonly id?: string };
    }[];
  }[];
}

export interface StoredState {
  /** -1 = there is none. */
  readonly serial: number;
  readonly objects: readonly StoredObject[];
}
export const noState: StoredState = { serial: -1, objects: [] };

/**
 * Reads a Terraform state of format 4. On purpose not with the product's own reader: the oracle must not share its mistakes.
 * Throws when it is not such a state.
 */
export function parseStoredState(text: string): StoredState {
  const state = JSON.parse(text) as StateFile;
  if (state.version !== 4) throw new Error(`a state of format ${state.version}`);
  const managed = state.resources.filter(({ mode }) => mode === 'managed');
  const objects = managed.flatMap(({ module, type, name, instances }) =>
    instances.map(({ index_key: key, status, attributes: { id } }) => {
      const address = `${module === undefined ? '' : `${module}.`}${type}.${name}${indexOf(key)}`;
      if (id === undefined) throw new Error(`${address} has no id in the state`);
      return { address, objectId: id, tainted: status === 'tainted' };
    }),
  );
  return { serial: state.serial, objects };
}

const indexOf = (key: number | string | undefined): string =>
  key === undefined ? '' : typeof key === 'number' ? `[${key}]` : `["${key}"]`;
