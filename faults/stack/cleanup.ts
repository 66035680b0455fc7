/** What has to be undone, in reverse order, however the work went. */
export interface Cleanup {
  add(undo: () => unknown): void;
  /** Runs everything once, also after failures; a second call waits for the first. */
  run(): Promise<void>;
}

export function createCleanup(): Cleanup {
  const undos: (() => unknown)[] = [];
  let running: Promise<void> | undefined;
  const runAll = async (): Promise<void> => {
    for (let undo = undos.pop(); undo !== undefined; undo = undos.pop())
      try {
        await undo();
      } catch (err) {
        console.error('clean-up:', err);
      }
  };
  return {
    add: (undo) => undos.push(undo),
    run: () => (running ??= runAll()),
  };
}
