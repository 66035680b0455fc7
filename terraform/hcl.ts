import { HclError, HclScanner, identifierPattern, maxDepth } from './hcl-scanner.ts';

export { HclError } from './hcl-scanner.ts';

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

const number = /\d+(\.\d+)?([eE][+-]?\d+)?/y;
const openers = new Map([
  ['(', ')'],
  ['[', ']'],
  ['{', '}'],
]);

/** Throws HclError, whose text begins with the line. */
export function parseHcl(source: string): HclBody {
  const scan = new HclScanner(source);
  try {
    return new Parser(scan).body(0, true);
  } catch (err) {
    if (!(err instanceof HclError)) throw err;
    throw new HclError(`line ${scan.source.slice(0, scan.at).split('\n').length}: ${err.message}`);
  }
}

class Parser {
  readonly #scan: HclScanner;

  constructor(scan: HclScanner) {
    this.#scan = scan;
  }

  body(depth: number, top = false): HclBody {
    if (depth > maxDepth) throw new HclError('blocks are nested too deeply');
    const attributes = new Map<string, HclExpression>();
    const blocks: HclBlock[] = [];
    for (;;) {
      this.#scan.skipSpace(true);
      if (this.#scan.at >= this.#scan.source.length) {
        if (top) return { attributes, blocks };
        throw new HclError('a block is not closed');
      }
      if (this.#scan.peek() === '}') {
        if (top) throw new HclError('unexpected }');
        this.#scan.at++;
        return { attributes, blocks };
      }
      const name = this.#scan.identifier();
      this.#scan.skipSpace(false);
      if (this.#scan.peek() === '=') {
        this.#scan.at++;
        this.#scan.skipSpace(false);
        attributes.set(name, this.#expression());
        continue;
      }
      const labels: string[] = [];
      while (this.#scan.peek() !== '{') {
        labels.push(this.#scan.peek() === '"' ? (this.#scan.quoted() ?? '') : this.#scan.identifier());
        this.#scan.skipSpace(false);
      }
      this.#scan.at++;
      blocks.push({ type: name, labels, body: this.body(depth + 1) });
    }
  }

  /** From here to the end of the line, over brackets, strings, heredocs and comments. */
  #expression(): HclExpression {
    const start = this.#scan.at;
    let text = '';
    let copied = start;
    const closers: string[] = [];
    const cutComment = () => {
      text += this.#scan.source.slice(copied, this.#scan.at);
      this.#scan.skipComment();
      copied = this.#scan.at;
    };
    while (this.#scan.at < this.#scan.source.length) {
      const character = this.#scan.peek();
      if (this.#scan.atComment()) cutComment();
      else if (character === '\n' && closers.length === 0) break;
      else if (character === '"') this.#scan.quoted();
      else if (this.#scan.atHeredoc()) this.#scan.heredoc();
      else if (openers.has(character)) {
        closers.push(openers.get(character) ?? '');
        if (closers.length > maxDepth) throw new HclError('an expression is nested too deeply');
        this.#scan.at++;
      } else if (character === ')' || character === ']' || character === '}') {
        // `}` of a block on one line: `variable "a" { default = 1 }`
        if (closers.length === 0) break;
        if (closers.pop() !== character) throw new HclError(`unexpected ${character}`);
        this.#scan.at++;
      } else this.#scan.at++;
    }
    if (closers.length > 0) throw new HclError(`missing ${closers.at(-1)}`);
    text += this.#scan.source.slice(copied, this.#scan.at);
    const end = this.#scan.at;
    this.#scan.at = start;
    const value = this.#literal(0);
    this.#scan.skipSpace(false);
    const isLiteral = value !== undefined && this.#scan.at >= end;
    this.#scan.at = end;
    return { text: text.trim(), value: isLiteral ? value : undefined };
  }

  /** A literal at this place, undefined when it is none (position is then anywhere). */
  #literal(depth: number): unknown {
    if (depth > maxDepth) return undefined;
    const character = this.#scan.peek();
    if (character === '"') return this.#scan.quoted() ?? undefined;
    if (this.#scan.atHeredoc()) return this.#scan.heredoc() ?? undefined;
    if (character === '[') return this.#literalList(depth);
    if (character === '{') return this.#literalObject(depth);
    if (character === '-') {
      this.#scan.at++;
      this.#scan.skipSpace(false);
      const inner = this.#literal(depth + 1);
      return typeof inner === 'number' ? -inner : undefined;
    }
    const digits = this.#scan.match(number);
    if (digits !== null) return Number(digits);
    switch (this.#scan.match(identifierPattern)) {
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
    this.#scan.at++;
    const items: unknown[] = [];
    for (;;) {
      this.#scan.skipSpace(true);
      if (this.#scan.peek() === ']') {
        this.#scan.at++;
        return items;
      }
      const item = this.#literal(depth + 1);
      if (item === undefined) return undefined;
      items.push(item);
      this.#scan.skipSpace(true);
      if (this.#scan.peek() === ',') this.#scan.at++;
      else if (this.#scan.peek() !== ']') return undefined;
    }
  }

  #literalObject(depth: number): unknown {
    this.#scan.at++;
    const entries: [string, unknown][] = [];
    for (;;) {
      this.#scan.skipSpace(true);
      if (this.#scan.peek() === '}') {
        this.#scan.at++;
        return Object.fromEntries(entries);
      }
      const key =
        this.#scan.peek() === '"'
          ? this.#scan.quoted()
          : (this.#scan.match(identifierPattern) ?? this.#scan.match(number));
      if (key === null) return undefined;
      this.#scan.skipSpace(false);
      if (this.#scan.peek() !== '=' && this.#scan.peek() !== ':') return undefined;
      this.#scan.at++;
      this.#scan.skipSpace(false);
      const value = this.#literal(depth + 1);
      if (value === undefined) return undefined;
      entries.push([key, value]);
      this.#scan.skipSpace(false);
      const next = this.#scan.peek();
      if (next === ',' || next === '\n') this.#scan.at++;
      else if (next !== '}') return undefined;
    }
  }
}
