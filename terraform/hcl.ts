/**
 * A reader for the part of HCL that is needed before Terraform runs: blocks, their attributes, literal values. Expressions
 * that are not literal keep their text. It is lenient where it does not matter (Terraform itself reports errors) and
 * throws HclError where it cannot go on. Source: spec/02 §2.3.
 */
export interface HclBody {
  readonly attributes: ReadonlyMap<string, HclExpression>;
  readonly blocks: readonly HclBlock[];
}

export interface HclBlock {
  readonly type: string;
  readonly labels: readonly string[];
  readonly body: HclBody;
}

export interface HclExpression {
  /** Source text without comments and surrounding space. */
  readonly text: string;
  /** Value of a literal; undefined for anything that needs evaluation. */
  readonly value: unknown;
}

export class HclError extends Error {}

/** Deeper nesting is no configuration anybody wrote. */
const maxDepth = 200;
const identifier = /[\p{ID_Start}_][\p{ID_Continue}-]*/uy;
const number = /\d+(\.\d+)?([eE][+-]?\d+)?/y;
const openers = new Map([
  ['(', ')'],
  ['[', ']'],
  ['{', '}'],
]);

export function parseHcl(source: string): HclBody {
  const parser = new Parser(source.replace(/^\uFEFF/, '').replaceAll('\r\n', '\n'));
  return parser.body(0, true);
}

class Parser {
  #at = 0;
  /** Templates in strings in templates. */
  #templates = 0;
  readonly #source: string;
  constructor(source: string) {
    this.#source = source;
  }

  body(depth: number, top = false): HclBody {
    if (depth > maxDepth) throw new HclError('blocks are nested too deeply');
    const attributes = new Map<string, HclExpression>();
    const blocks: HclBlock[] = [];
    for (;;) {
      this.#skipSpace(true);
      if (this.#at >= this.#source.length) {
        if (top) return { attributes, blocks };
        throw new HclError('a block is not closed');
      }
      if (this.#peek() === '}') {
        if (top) throw new HclError('unexpected }');
        this.#at++;
        return { attributes, blocks };
      }
      const name = this.#identifier();
      this.#skipSpace(false);
      if (this.#peek() === '=') {
        this.#at++;
        this.#skipSpace(false);
        attributes.set(name, this.#expression());
        continue;
      }
      const labels: string[] = [];
      while (this.#peek() !== '{') {
        labels.push(this.#peek() === '"' ? (this.#quoted() ?? '') : this.#identifier());
        this.#skipSpace(false);
      }
      this.#at++;
      blocks.push({ type: name, labels, body: this.body(depth + 1) });
    }
  }

  /** From here to the end of the line, over brackets, strings, heredocs and comments. */
  #expression(): HclExpression {
    const start = this.#at;
    let text = '';
    let copied = start;
    const closers: string[] = [];
    const cutComment = () => {
      text += this.#source.slice(copied, this.#at);
      this.#skipComment();
      copied = this.#at;
    };
    while (this.#at < this.#source.length) {
      const character = this.#peek();
      if (this.#atComment()) cutComment();
      else if (character === '\n' && closers.length === 0) break;
      else if (character === '"') this.#quoted();
      else if (this.#atHeredoc()) this.#heredoc();
      else if (openers.has(character)) {
        closers.push(openers.get(character) ?? '');
        if (closers.length > maxDepth) throw new HclError('an expression is nested too deeply');
        this.#at++;
      } else if (character === ')' || character === ']' || character === '}') {
        // `}` of a block on one line: `variable "a" { default = 1 }`
        if (closers.length === 0) break;
        if (closers.pop() !== character) throw new HclError(`unexpected ${character}`);
        this.#at++;
      } else this.#at++;
    }
    if (closers.length > 0) throw new HclError(`missing ${closers.at(-1)}`);
    text += this.#source.slice(copied, this.#at);
    const end = this.#at;
    this.#at = start;
    const value = this.#literal(0);
    this.#skipSpace(false);
    const isLiteral = value !== undefined && this.#at >= end;
    this.#at = end;
    return { text: text.trim(), value: isLiteral ? value : undefined };
  }

  /** A literal at this place, undefined when it is none (position is then anywhere). */
  #literal(depth: number): unknown {
    if (depth > maxDepth) return undefined;
    const character = this.#peek();
    if (character === '"') return this.#quoted() ?? undefined;
    if (this.#atHeredoc()) return this.#heredoc() ?? undefined;
    if (character === '[') return this.#literalList(depth);
    if (character === '{') return this.#literalObject(depth);
    if (character === '-') {
      this.#at++;
      this.#skipSpace(false);
      const inner = this.#literal(depth + 1);
      return typeof inner === 'number' ? -inner : undefined;
    }
    const digits = this.#match(number);
    if (digits !== null) return Number(digits);
    switch (this.#match(identifier)) {
      case 'true':
        return true;
      case 'false':
        return false;
      case 'null':
        return null;
      default:
        return undefined;
    }
  }

  #literalList(depth: number): unknown {
    this.#at++;
    const items: unknown[] = [];
    for (;;) {
      this.#skipSpace(true);
      if (this.#peek() === ']') {
        this.#at++;
        return items;
      }
      const item = this.#literal(depth + 1);
      if (item === undefined) return undefined;
      items.push(item);
      this.#skipSpace(true);
      if (this.#peek() === ',') this.#at++;
      else if (this.#peek() !== ']') return undefined;
    }
  }

  #literalObject(depth: number): unknown {
    this.#at++;
    const entries: [string, unknown][] = [];
    for (;;) {
      this.#skipSpace(true);
      if (this.#peek() === '}') {
        this.#at++;
        return Object.fromEntries(entries);
      }
      const key = this.#peek() === '"' ? this.#quoted() : (this.#match(identifier) ?? this.#match(number));
      if (key === null) return undefined;
      this.#skipSpace(false);
      if (this.#peek() !== '=' && this.#peek() !== ':') return undefined;
      this.#at++;
      this.#skipSpace(false);
      const value = this.#literal(depth + 1);
      if (value === undefined) return undefined;
      entries.push([key, value]);
      this.#skipSpace(false);
      const next = this.#peek();
      if (next === ',' || next === '\n') this.#at++;
      else if (next !== '}') return undefined;
    }
  }

  /** A quoted template. Its text when it has no interpolation, null when it has one. */
  #quoted(): string | null {
    this.#at++;
    let text = '';
    let literal = true;
    for (;;) {
      const character = this.#peek();
      if (character === '' || character === '\n') throw new HclError('a string is not closed');
      if (character === '"') {
        this.#at++;
        return literal ? text : null;
      }
      if (character === '\\') text += this.#escape();
      else if (this.#atTemplate()) {
        literal = false;
        this.#template();
      } else text += this.#templateText();
    }
  }

  /** One character, or the doubled `$${` and `%%{` that stand for themselves. */
  #templateText(): string {
    const three = this.#source.slice(this.#at, this.#at + 3);
    if (three === '$${' || three === '%%{') {
      this.#at += 3;
      return three.slice(1);
    }
    return this.#source[this.#at++] ?? '';
  }

  #escape(): string {
    const code = this.#source[this.#at + 1] ?? '';
    const digits = code === 'u' ? 4 : code === 'U' ? 8 : 0;
    this.#at += 2;
    if (digits === 0) return { n: '\n', r: '\r', t: '\t', '"': '"', '\\': '\\' }[code] ?? `\\${code}`;
    const hex = this.#source.slice(this.#at, this.#at + digits);
    const point = /^[0-9a-fA-F]+$/.test(hex) ? Number.parseInt(hex, 16) : Number.NaN;
    this.#at += digits;
    if (!(point <= 0x10ffff)) throw new HclError('a bad escape in a string');
    return String.fromCodePoint(point);
  }

  #atTemplate(): boolean {
    const two = this.#source.slice(this.#at, this.#at + 2);
    return two === '${' || two === '%{';
  }

  /** Over `${ … }`, with strings and braces inside. */
  #template(): void {
    this.#at += 2;
    if (++this.#templates > maxDepth) throw new HclError('templates are nested too deeply');
    let depth = 1;
    while (depth > 0) {
      const character = this.#peek();
      if (character === '') throw new HclError('a template is not closed');
      if (character === '"') this.#quoted();
      else {
        if (character === '{') depth++;
        if (character === '}') depth--;
        if (depth > maxDepth) throw new HclError('a template is nested too deeply');
        this.#at++;
      }
    }
    this.#templates--;
  }

  #atHeredoc(): boolean {
    return this.#peek() === '<' && this.#source[this.#at + 1] === '<' && /^<<-?[\p{ID_Start}_]/u.test(this.#rest(8));
  }

  #rest(length: number): string {
    return this.#source.slice(this.#at, this.#at + length);
  }

  /** Its text when it has no interpolation, null when it has one. */
  #heredoc(): string | null {
    this.#at += 2;
    const indented = this.#peek() === '-';
    if (indented) this.#at++;
    const marker = this.#identifier();
    this.#at = this.#source.indexOf('\n', this.#at) + 1;
    if (this.#at === 0) throw new HclError('a heredoc is not closed');
    const lines: string[] = [];
    for (;;) {
      if (this.#at >= this.#source.length) throw new HclError('a heredoc is not closed');
      const end = this.#source.indexOf('\n', this.#at);
      const line = this.#source.slice(this.#at, end === -1 ? undefined : end);
      // The newline after the marker stays: it ends the attribute.
      this.#at = end === -1 ? this.#source.length : end;
      if (line.trim() === marker) break;
      lines.push(line);
      this.#at++;
    }
    const text = indented ? withoutIndent(lines) : lines;
    const joined = text.map((line) => `${line}\n`).join('');
    const literal = !/(?<!\$)\$\{|(?<!%)%\{/.test(joined);
    return literal ? joined.replaceAll('$${', '${').replaceAll('%%{', '%{') : null;
  }

  #identifier(): string {
    const name = this.#match(identifier);
    if (name === null) throw new HclError(`unexpected ${JSON.stringify(this.#peek())}`);
    return name;
  }

  #match(pattern: RegExp): string | null {
    pattern.lastIndex = this.#at;
    const match = pattern.exec(this.#source);
    if (match === null) return null;
    this.#at += match[0].length;
    return match[0];
  }

  #peek(): string {
    return this.#source[this.#at] ?? '';
  }

  #atComment(): boolean {
    const two = this.#rest(2);
    return two[0] === '#' || two === '//' || two === '/*';
  }

  #skipComment(): void {
    const inline = this.#rest(2) === '/*';
    const end = this.#source.indexOf(inline ? '*/' : '\n', this.#at + (inline ? 2 : 0));
    if (end === -1 && inline) throw new HclError('a comment is not closed');
    this.#at = end === -1 ? this.#source.length : end + (inline ? 2 : 0);
  }

  #skipSpace(newlines: boolean): void {
    for (;;) {
      const character = this.#peek();
      if (character === ' ' || character === '\t' || (newlines && (character === '\n' || character === '\r')))
        this.#at++;
      else if (this.#atComment()) this.#skipComment();
      else return;
    }
  }
}

function withoutIndent(lines: readonly string[]): string[] {
  const indents = lines.filter((line) => line.trim() !== '').map((line) => line.length - line.trimStart().length);
  const common = indents.length === 0 ? 0 : Math.min(...indents);
  return lines.map((line) => line.slice(common));
}
