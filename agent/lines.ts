import { StringDecoder } from 'node:string_decoder';

/** A longer line goes out in pieces; the server cuts at 1,024 characters anyway (spec/05 §8). */
const maxLineLength = 16 * 1024;

export interface LineSplitter {
  readonly push: (chunk: Buffer) => void;
  /** The last line, if it had no end. */
  readonly end: () => void;
}

/** Bytes in, lines out: `\r\n` stripped, invalid UTF-8 replaced, characters across chunks kept whole. */
export function createLineSplitter(onLine: (line: string) => void): LineSplitter {
  const decoder = new StringDecoder('utf8');
  let rest = '';
  const take = (text: string): void => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) onLine(line.endsWith('\r') ? line.slice(0, -1) : line);
    while (rest.length > maxLineLength) {
      onLine(rest.slice(0, maxLineLength));
      rest = rest.slice(maxLineLength);
    }
  };
  return {
    push: (chunk) => take(decoder.write(chunk)),
    end() {
      take(decoder.end());
      if (rest !== '') onLine(rest.replace(/\r$/, ''));
      rest = '';
    },
  };
}
