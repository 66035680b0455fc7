import { type JsonObject, objectAt, textAt } from './json.ts';

/** What the `-json` lines of an apply tell about the objects that it makes. Sorted addresses. */
export interface ApplyProgress {
  /** Every address that the plan creates or replaces. */
  readonly announced: readonly string[];
  /** Creations that began and did not fail: done, at work, or cut off. */
  readonly begun: readonly string[];
  /** Those of them that ended well. */
  readonly created: readonly string[];
  /** Creations that failed. When Terraform ends by itself what they have made is in the state, as tainted. */
  readonly failed: readonly string[];
  /** Terraform has said that everything was done: stands for the exit code when nobody saw it. */
  readonly complete: boolean;
}

export interface ApplyTracker {
  readonly push: (line: JsonObject) => void;
  readonly progress: () => ApplyProgress;
}

/** Of a Terraform that was killed: what has failed may have left something too, for nobody wrote the state afterwards. */
export const cutShort = (progress: ApplyProgress): ApplyProgress => ({
  ...progress,
  begun: [...progress.begun, ...progress.failed].toSorted(),
});

const makesObjects = new Set(['create', 'replace']);

/** Reads `planned_change`, `apply_*` and `change_summary` lines; others are ignored. Source: spec/02 §5.3. */
export function createApplyTracker(): ApplyTracker {
  const announced = new Set<string>();
  const creations = new Map<string, 'begun' | 'created' | 'failed'>();
  let complete = false;
  const inState = (...states: string[]) =>
    [...creations]
      .filter(([, state]) => states.includes(state))
      .map(([address]) => address)
      .toSorted();
  return {
    push(line) {
      const type = line['type'];
      if (type === 'planned_change') {
        const change = objectAt(line, 'change');
        if (makesObjects.has(textAt(change, 'action'))) announced.add(textAt(objectAt(change, 'resource'), 'addr'));
        return;
      }
      if (type === 'change_summary') {
        const operation = textAt(objectAt(line, 'changes'), 'operation');
        if (operation === 'apply' || operation === 'destroy') complete = true;
        return;
      }
      const hook = objectAt(line, 'hook');
      // A replacement shows as a deletion and a creation of their own.
      if (textAt(hook, 'action') !== 'create') return;
      const address = textAt(objectAt(hook, 'resource'), 'addr');
      if (type === 'apply_start') creations.set(address, 'begun');
      if (type === 'apply_complete') creations.set(address, 'created');
      if (type === 'apply_errored') creations.set(address, 'failed');
    },
    progress: () => ({
      announced: [...announced].toSorted(),
      begun: inState('begun', 'created'),
      created: inState('created'),
      failed: inState('failed'),
      complete,
    }),
  };
}
