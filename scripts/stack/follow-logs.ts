import { closeSync, openSync, readSync, statSync } from 'node:fs';

/** Calls `onLine` for each line that is added to a file after now, across its rotation. Returns the function that ends it. */
export function followLog(path: string, onLine: (line: string) => void, fromStart = false): () => void {
  let offset = fromStart ? 0 : (statSync(path, { throwIfNoEntry: false })?.size ?? 0);
  let rest = '';
  const read = (): void => {
    const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
    if (size < offset) offset = 0;
    if (size === offset) return;
    const file = openSync(path, 'r');
    try {
      const chunk = Buffer.alloc(size - offset);
      offset += readSync(file, chunk, 0, chunk.length, offset);
      const lines = (rest + chunk.toString('utf8')).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) onLine(line);
    } finally {
      closeSync(file);
    }
  };
  const timer = setInterval(read, 200);
  return () => {
    clearInterval(timer);
    read();
  };
}
