import { type FSWatcher, watch } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { outputBase, takeAway } from './output-rotation.ts';

/** Longer lines are cut, so that a template cannot exhaust the worker's memory (spec/02 §5.3). */
export const maxLineBytes = 16 * 1024 * 1024;
const cutMarker = ' … [line cut: longer than 16 MiB]';
const chunkBytes = 64 * 1024;
/** File system events may be lost or not exist; then this is the latency. */
const pollMs = 200;

export interface TailOptions {
  /** Byte offset of the beginning of a line, e.g. the `endOffset` of the last one handled. Default 0. */
  readonly fromOffset?: number;
  /** Settles when nobody writes any more: the rest is read, then the iteration ends. */
  readonly until: Promise<unknown>;
  /** Ends the iteration at once. */
  readonly signal?: AbortSignal;
  /** Takes away what was read, so that an endless output does not fill the disk. */
  readonly rotation?: Rotation;
}

export interface Rotation {
  /** How much has to be read before it is worth the pause. */
  readonly atBytes: number;
  /** Keeps the writer from writing until `release`; false = it cannot be held now. */
  readonly hold: () => Promise<boolean>;
  readonly release: () => void;
  /** Whether nobody will ask for the lines again that were read so far. */
  readonly stored: () => Promise<boolean>;
}

export interface TailedLine {
  /** Without its line end; invalid UTF-8 replaced, NUL removed. */
  readonly line: string;
  /** Offset of the byte after the line: where a later reader goes on. */
  readonly endOffset: number;
}

/** Lines of a file that is still written. The file may not exist yet. A last line without line end comes at the end. */
export async function* tailLines(path: string, options: TailOptions): AsyncGenerator<TailedLine> {
  const wakeUp = createWakeUp(options);
  let file: FileHandle | null = null;
  let base = outputBase(path);
  const line = createLineBuffer(Math.max(options.fromOffset ?? 0, base));
  const chunk = Buffer.alloc(chunkBytes);
  const { rotation } = options;
  const isFull = (): boolean => rotation !== undefined && line.readOffset() - base >= rotation.atBytes;
  const read = async function* (from: FileHandle, until = (): boolean => false): AsyncGenerator<TailedLine> {
    while (!until()) {
      const { bytesRead } = await from.read(chunk, 0, chunkBytes, line.readOffset() - base);
      if (bytesRead === 0) return;
      for (const done of line.push(chunk.subarray(0, bytesRead))) {
        yield done;
        if (wakeUp.aborted()) return;
      }
      // The end of the file, as it was just now: what comes later wakes.
      if (bytesRead < chunkBytes) return;
    }
  };
  try {
    for (;;) {
      if (wakeUp.aborted()) return;
      // Read after "nobody writes" was seen, not before: else the last bytes could be missed.
      const last = wakeUp.finished();
      file ??= await openWhenThere(path);
      if (file !== null) {
        wakeUp.watch(path);
        yield* read(file, isFull);
        const held = rotation !== undefined && isFull() && (await rotation.hold());
        try {
          yield* read(file);
          // Terraform writes whole lines; half a one would be lost for whoever takes over.
          if (held && line.isComplete() && !wakeUp.aborted() && (await rotation.stored()))
            base = takeAway(path, line.readOffset() - base);
        } finally {
          if (held) rotation.release();
        }
      }
      if (last) break;
      await wakeUp.next();
    }
    const rest = line.rest();
    if (rest !== null) yield rest;
  } finally {
    wakeUp.close();
    await file?.close();
  }
}

async function openWhenThere(path: string): Promise<FileHandle | null> {
  try {
    return await open(path, 'r');
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw err;
  }
}

/** Collects bytes to lines; keeps at most `maxLineBytes` of an unfinished one. */
function createLineBuffer(fromOffset: number) {
  let readOffset = fromOffset;
  let parts: Buffer[] = [];
  let length = 0;
  let cut = false;

  const keep = (bytes: Buffer): void => {
    const room = maxLineBytes - length;
    if (bytes.length > room) cut = true;
    if (room <= 0 || bytes.length === 0) return;
    // The chunk is read into again.
    parts.push(Buffer.from(bytes.subarray(0, room)));
    length += Math.min(bytes.length, room);
  };
  const textOf = (bytes: Buffer): string => bytes.toString('utf8').replace(/\r$/, '').replaceAll('\0', '');
  const take = (endOffset: number): TailedLine => {
    const text = textOf(Buffer.concat(parts));
    const done = { line: cut ? text + cutMarker : text, endOffset };
    parts = [];
    length = 0;
    cut = false;
    return done;
  };

  return {
    readOffset: () => readOffset,
    *push(bytes: Buffer): Generator<TailedLine> {
      const base = readOffset;
      readOffset += bytes.length;
      let start = 0;
      for (let end = bytes.indexOf(10); end !== -1; end = bytes.indexOf(10, start)) {
        const piece = bytes.subarray(start, end);
        start = end + 1;
        // Nearly every line is whole in one chunk, which is not read into again before it is text.
        if (length === 0 && !cut) yield { line: textOf(piece), endOffset: base + start };
        else {
          keep(piece);
          yield take(base + start);
        }
      }
      keep(bytes.subarray(start));
    },
    isComplete: (): boolean => length === 0 && !cut,
    rest: (): TailedLine | null => (length === 0 && !cut ? null : take(readOffset)),
  };
}

/** One waiter for file events, the poll interval, the end of writing and the abort; an event between two waits is kept. */
function createWakeUp({ until, signal }: TailOptions) {
  let finished = false;
  let pending = false;
  let wake: (() => void) | null = null;
  let watcher: FSWatcher | null = null;
  const notify = (): void => {
    pending = true;
    wake?.();
  };
  const onEnd = (): void => {
    finished = true;
    notify();
  };
  until.then(onEnd, onEnd);
  signal?.addEventListener('abort', notify);
  return {
    finished: () => finished,
    aborted: () => signal?.aborted ?? false,
    watch(path: string) {
      if (watcher !== null) return;
      try {
        watcher = watch(path, { persistent: false }, notify);
        // Without events (limits, file system) the poll goes on.
        watcher.on('error', () => watcher?.close());
      } catch {
        watcher = null;
      }
    },
    async next() {
      if (!pending) {
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, pollMs);
          wake = () => {
            clearTimeout(timer);
            resolve();
          };
        });
      }
      wake = null;
      pending = false;
    },
    close() {
      signal?.removeEventListener('abort', notify);
      watcher?.close();
    },
  };
}
