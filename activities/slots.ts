/** One count of Terraform runs over all queues of a worker process (spec/02 §5.7). */
export interface Slots {
  /** Resolves with the function that gives the slot back. Rejects with the signal's reason when it aborts first. */
  acquire(signal: AbortSignal): Promise<() => void>;
  readonly used: number;
}

export function createSlots(count: number): Slots {
  let used = 0;
  const waiting: (() => void)[] = [];
  const release = () => {
    used -= 1;
    waiting.shift()?.();
  };
  return {
    get used() {
      return used;
    },
    async acquire(signal) {
      while (used >= count) {
        signal.throwIfAborted();
        await new Promise<void>((resolve, reject) => {
          const turn = () => {
            signal.removeEventListener('abort', leave);
            resolve();
          };
          const leave = () => {
            waiting.splice(waiting.indexOf(turn), 1);
            reject(signal.reason);
          };
          waiting.push(turn);
          signal.addEventListener('abort', leave, { once: true });
        });
      }
      used += 1;
      let given = false;
      return () => {
        if (!given) release();
        given = true;
      };
    },
  };
}
