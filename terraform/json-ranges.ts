/**
 * Where the values of a JSON text stand, so that parts can be cut out while every other character stays as it was written:
 * parsing and printing again would round big numbers and change escapes. The text must be valid JSON (`JSON.parse` has taken
 * it); strings may be of any encoding that keeps ASCII as it is.
 */
export interface Range {
  readonly start: number;
  /** Behind the last character. */
  readonly end: number;
}
export interface Member extends Range {
  /** The name with its quotes, as it is written. */
  readonly name: string;
}
export interface Edit extends Range {
  readonly text: string;
}

const spaces = ' \t\r\n';

function skipSpaces(text: string, at: number): number {
  let next = at;
  while (spaces.includes(text.charAt(next)) && next < text.length) next += 1;
  return next;
}

/** Behind the string whose opening quote stands at `at`. */
function endOfString(text: string, at: number): number {
  let next = at + 1;
  while (next < text.length && text[next] !== '"') next += text[next] === '\\' ? 2 : 1;
  return next + 1;
}

function endOfValue(text: string, at: number): number {
  const first = text[at];
  if (first === '"') return endOfString(text, at);
  let next = at;
  if (first !== '{' && first !== '[') {
    while (next < text.length && !',]}'.includes(text.charAt(next)) && !spaces.includes(text.charAt(next))) next += 1;
    return next;
  }
  for (let depth = 0; next < text.length; next += 1) {
    const char = text[next];
    if (char === '"') next = endOfString(text, next) - 1;
    else if (char === '{' || char === '[') depth += 1;
    else if ((char === '}' || char === ']') && (depth -= 1) === 0) return next + 1;
  }
  return next;
}

/** Elements of the array whose bracket stands at `start`. */
export function elementsAt(text: string, start: number): Range[] {
  const found: Range[] = [];
  let at = skipSpaces(text, start + 1);
  while (at < text.length && text[at] !== ']') {
    const end = endOfValue(text, at);
    found.push({ start: at, end });
    at = afterComma(text, end);
  }
  return found;
}

/** Members of the object whose brace stands at `start`. The range is that of the value. */
export function membersAt(text: string, start: number): Member[] {
  const found: Member[] = [];
  let at = skipSpaces(text, start + 1);
  while (at < text.length && text[at] !== '}') {
    const nameEnd = endOfString(text, at);
    const name = text.slice(at, nameEnd);
    // Over the colon.
    at = skipSpaces(text, skipSpaces(text, nameEnd) + 1);
    const end = endOfValue(text, at);
    found.push({ name, start: at, end });
    at = afterComma(text, end);
  }
  return found;
}

function afterComma(text: string, end: number): number {
  const at = skipSpaces(text, end);
  return text[at] === ',' ? skipSpaces(text, at + 1) : at;
}

/** A member's value; of members with the same name the last one counts, as for every JSON reader here. */
export const memberAt = (text: string, start: number, name: string): Range | undefined =>
  membersAt(text, start).findLast((member) => member.name === `"${name}"`);

/** Edits that take elements out of the array at `array` together with one comma each; an emptied one reads `[]`. */
export function cutElements(
  elements: readonly Range[],
  array: Range,
  goes: (element: Range, index: number) => boolean,
): Edit[] {
  const gone = elements.map(goes);
  if (gone.every(Boolean)) return [{ start: array.start, end: array.end, text: '[]' }];
  const firstKept = gone.indexOf(false);
  return elements.flatMap((element, index) => {
    if (gone[index] !== true) return [];
    // With the comma before it, and with the one behind it where nothing is kept before.
    const start = index < firstKept ? element.start : (elements[index - 1]?.end ?? element.start);
    const end = index < firstKept ? (elements[index + 1]?.start ?? element.end) : element.end;
    return [{ start, end, text: '' }];
  });
}

/** The text with all edits made; they may not overlap. */
export function applyEdits(text: string, edits: readonly Edit[]): string {
  let at = 0;
  let result = '';
  for (const edit of edits.toSorted((a, b) => a.start - b.start)) {
    result += text.slice(at, edit.start) + edit.text;
    at = edit.end;
  }
  return result + text.slice(at);
}
