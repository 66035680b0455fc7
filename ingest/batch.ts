/**
 * Reports of many agents gathered in this process and written together: the number of statements does not grow with the number
 * of agents. Source: spec/05 §8, §9.
 */
export interface BatchOptions<T> {
  /** A value with the same key replaces the one that waits; without it every value is kept. */
  readonly keyOf?: (value: T) => string;
  /** Of two values with one key; default: the later one. */
  readonly newer?: (waiting: T, next: T) => T;
  readonly write: (values: T[]) => Promise<void>;
  readonly everyMs: number;
  /** Written at once when so many wait. */
  readonly flushAt: number;
  /** More are dropped. */
  readonly capacity: number;
  /** What could not be written waits until it can be; default: it has one more chance. */
  readonly keepsFailed?: boolean;
  readonly onDropped?: (count: number) => void;
  readonly onFailed?: (err: unknown, count: number) => void;
  readonly onFlushed?: (seconds: number, count: number) => void;
}

export interface Batch<T> {
  /** false = dropped because the buffer is full. */
  add(value: T): boolean;
  flush(): Promise<void>;
  /** The last flush; nothing is taken afterwards. */
  close(): Promise<void>;
}

export function createBatch<T>(options: BatchOptions<T>): Batch<T> {
  const { keyOf, newer = (_waiting, next) => next, write, capacity } = options;
  let waiting = new Map<string, T>();
  let count = 0;
  let failedOnce = new Map<string, T>();
  let closed = false;
  let timer: NodeJS.Timeout | undefined;
  let writing: Promise<void> = Promise.resolve();

  const put = (value: T): boolean => {
    const key = keyOf === undefined ? String((count += 1)) : keyOf(value);
    const before = waiting.get(key);
    if (before === undefined && waiting.size >= capacity) {
      options.onDropped?.(1);
      return false;
    }
    waiting.set(key, before === undefined ? value : newer(before, value));
    return true;
  };

  async function writeWaiting(): Promise<void> {
    clearTimeout(timer);
    timer = undefined;
    if (waiting.size === 0) return;
    const values = waiting;
    const again = failedOnce;
    waiting = new Map();
    failedOnce = new Map();
    const startedAt = performance.now();
    try {
      await write([...values.values()]);
      options.onFlushed?.((performance.now() - startedAt) / 1000, values.size);
    } catch (err) {
      options.onFailed?.(err, values.size);
      // Once more with the next ones; what has failed twice is given up, unless it is to be kept.
      for (const [key, value] of values) {
        if (again.get(key) === value && options.keepsFailed !== true) options.onDropped?.(1);
        else if (waiting.has(key)) waiting.set(key, newer(value, waiting.get(key)!));
        else {
          waiting.set(key, value);
          failedOnce.set(key, value);
        }
      }
      if (!closed) arm();
    }
  }

  const arm = () => (timer ??= setTimeout(() => void flush(), options.everyMs));
  /** One write at a time: a slow database makes larger batches, not more connections. */
  const flush = (): Promise<void> => (writing = writing.then(writeWaiting));

  return {
    add(value) {
      if (closed || !put(value)) return false;
      if (waiting.size >= options.flushAt) void flush();
      else arm();
      return true;
    },
    flush,
    async close() {
      closed = true;
      await flush();
      // What failed just now has its second chance.
      await flush();
      clearTimeout(timer);
    },
  };
}
