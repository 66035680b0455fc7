import { appendFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type TailOptions, maxLineBytes, tailLines } from '../../terraform/tail.ts';
import { scratchDir } from './support/terraform-runs.ts';

let dir: string;
let path: string;
beforeEach(async () => {
  dir = await scratchDir();
  path = join(dir, 'stdout.log');
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const ended = Promise.resolve();
async function all(options: Partial<TailOptions> = {}) {
  const lines: [string, number][] = [];
  for await (const { line, endOffset } of tailLines(path, { until: ended, ...options })) lines.push([line, endOffset]);
  return lines;
}

/** A promise and what settles it. */
function gate() {
  let open = () => {};
  const until = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { until, open };
}

describe('a finished file', () => {
  test('gives its lines with the offset behind each', async () => {
    await writeFile(path, 'one\ntwo\r\n\nänd');
    expect(await all()).toEqual([
      ['one', 4],
      ['two', 9],
      ['', 10],
      ['änd', 14],
    ]);
  });
  test('goes on from the offset of an earlier line', async () => {
    await writeFile(path, 'one\ntwo\n');
    expect(await all({ fromOffset: 4 })).toEqual([['two', 8]]);
    expect(await all({ fromOffset: 8 })).toEqual([]);
  });
  test('loses NUL bytes and keeps going over invalid UTF-8', async () => {
    await writeFile(path, Buffer.from([0x61, 0x00, 0xff, 0x62, 0x0a]));
    expect(await all()).toEqual([['a\uFFFDb', 5]]);
  });
  test('that never came to be has no lines', async () => {
    expect(await all()).toEqual([]);
  });
  test('keeps characters whole that lie across two reads', async () => {
    const text = `${'x'.repeat(64 * 1024 - 1)}€ and on`;
    await writeFile(path, `${text}\n`);
    expect((await all())[0]?.[0]).toBe(text);
  });
  test('of many lines is read whole', async () => {
    await writeFile(path, Array.from({ length: 50_000 }, (_, i) => `line ${i}\n`).join(''));
    const lines = await all();
    expect(lines).toHaveLength(50_000);
    expect(lines.at(-1)?.[0]).toBe('line 49999');
  });
  test('cuts a line of more than 16 MiB, says so and goes on behind it', async () => {
    await writeFile(path, 'z'.repeat(maxLineBytes + 3_000_000));
    await appendFile(path, '\nnext\n');
    const lines = await all();
    expect(lines).toHaveLength(2);
    expect(lines[0]?.[0]).toMatch(/z … \[line cut: longer than 16 MiB\]$/);
    expect(lines[0]?.[0].length).toBeLessThan(maxLineBytes + 100);
    expect(lines[1]).toEqual(['next', maxLineBytes + 3_000_006]);
  });
});

describe('a file that is written', () => {
  test('gives each line soon after it was written, also when the file comes later', async () => {
    const { until, open } = gate();
    const delays: number[] = [];
    let writtenAt = 0;
    const write = async (text: string) => {
      writtenAt = performance.now();
      await appendFile(path, text);
    };
    const first = setTimeout(() => void write('0\n'), 50);
    let next = 1;
    for await (const { line } of tailLines(path, { until })) {
      delays.push(performance.now() - writtenAt);
      expect(line).toBe(String(next - 1));
      if (next === 10) break;
      await write(`${next++}\n`);
    }
    clearTimeout(first);
    open();
    // The file's first line waits for the poll that finds it, the others for an event.
    expect(delays.slice(1).toSorted((a, b) => a - b)[4]).toBeLessThan(150);
    expect(Math.max(...delays)).toBeLessThan(1_000);
  });

  test('does not give half a line until it is complete or the end is known', async () => {
    const { until, open } = gate();
    await writeFile(path, 'half');
    const lines = tailLines(path, { until });
    const first = lines.next();
    const early = await Promise.race([first, new Promise((resolve) => setTimeout(() => resolve('nothing'), 300))]);
    expect(early).toBe('nothing');
    await appendFile(path, ' whole\nrest');
    expect((await first).value).toEqual({ line: 'half whole', endOffset: 11 });
    open();
    expect((await lines.next()).value).toEqual({ line: 'rest', endOffset: 15 });
    expect((await lines.next()).done).toBe(true);
  });

  test('is read to its end although the writer ends at once', async () => {
    const until = (async () => {
      for (let i = 0; i < 200; i++) await appendFile(path, `${i}\n`);
    })();
    expect(await all({ until })).toHaveLength(200);
  });

  test('ends at once when told to, also between two lines of one read', async () => {
    const controller = new AbortController();
    const { until } = gate();
    await writeFile(path, 'a\nb\nc\n');
    const seen: string[] = [];
    for await (const { line } of tailLines(path, { until, signal: controller.signal })) {
      seen.push(line);
      if (line === 'b') controller.abort();
    }
    expect(seen).toEqual(['a', 'b']);
    const waiting = tailLines(path, { until, fromOffset: 6, signal: AbortSignal.timeout(50) });
    expect((await waiting.next()).done).toBe(true);
  });

  test('ends when the writer failed, too', async () => {
    await writeFile(path, 'x\n');
    expect(await all({ until: Promise.reject(new Error('gone')) })).toEqual([['x', 2]]);
  });
});
