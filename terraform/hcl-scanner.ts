export class HclError extends Error {}

/** Deeper nesting is no configuration anybody wrote. */
export const maxDepth = 200;
export const identifierPattern = /[\p{ID_Start}_][\p{ID_Continue}-]*/uy;

/** Position in an HCL text, and what can be read there without knowing the block around it: space, names, strings. */
export class HclScanner {
  at = 0;
  readonly source: string;
  /** Templates in strings in templates. */
  #templates = 0;

  constructor(source: string) {
    this.source = source.replace(/^\uFEFF/, '').replaceAll('\r\n', '\n');
  }

  /** A quoted template. Its text when it has no interpolation, null when it has one. */
  quoted(): string | null {
    this.at++;
    let text = '';
    let literal = true;
    for (;;) {
      const character = this.peek();
      if (character === '' || character === '\n') throw new HclError('a string is not closed');
      if (character === '"') {
        this.at++;
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
    const three = this.source.slice(this.at, this.at + 3);
    if (three === '$${' || three === '%%{') {
      this.at += 3;
      return three.slice(1);
    }
    return this.source[this.at++] ?? '';
  }

  #escape(): string {
    const code = this.source[this.at + 1] ?? '';
    const digits = code === 'u' ? 4 : code === 'U' ? 8 : 0;
    this.at += 2;
    if (digits === 0) return { n: '\n', r: '\r', t: '\t', '"': '"', '\\': '\\' }[code] ?? `\\${code}`;
    const hex = this.source.slice(this.at, this.at + digits);
    const point = /^[0-9a-fA-F]+$/.test(hex) ? Number.parseInt(hex, 16) : Number.NaN;
    this.at += digits;
    if (!(point <= 0x10ffff)) throw new HclError('a bad escape in a string');
    return String.fromCodePoint(point);
  }

  #atTemplate(): boolean {
    const two = this.source.slice(this.at, this.at + 2);
    return two === '${' || two === '%{';
  }

  /** Over `${ … }`, with strings and braces inside. */
  #template(): void {
    this.at += 2;
    if (++this.#templates > maxDepth) throw new HclError('templates are nested too deeply');
    let depth = 1;
    while (depth > 0) {
      const character = this.peek();
      if (character === '') throw new HclError('a template is not closed');
      if (character === '"') this.quoted();
      else {
        if (character === '{') depth++;
        if (character === '}') depth--;
        if (depth > maxDepth) throw new HclError('a template is nested too deeply');
        this.at++;
      }
    }
    this.#templates--;
  }

  atHeredoc(): boolean {
    return this.peek() === '<' && this.source[this.at + 1] === '<' && /^<<-?[\p{ID_Start}_]/u.test(this.#rest(8));
  }

  #rest(length: number): string {
    return this.source.slice(this.at, this.at + length);
  }

  /** Its text when it has no interpolation, null when it has one. */
  heredoc(): string | null {
    this.at += 2;
    const indented = this.peek() === '-';
    if (indented) this.at++;
    const marker = this.identifier();
    this.at = this.source.indexOf('\n', this.at) + 1;
    if (this.at === 0) throw new HclError('a heredoc is not closed');
    const lines: string[] = [];
    for (;;) {
      if (this.at >= this.source.length) throw new HclError('a heredoc is not closed');
      const end = this.source.indexOf('\n', this.at);
      const line = this.source.slice(this.at, end === -1 ? undefined : end);
      // The newline after the marker stays: it ends the attribute.
      this.at = end === -1 ? this.source.length : end;
      if (line.trim() === marker) break;
      lines.push(line);
      this.at++;
    }
    const text = indented ? withoutIndent(lines) : lines;
    const joined = text.map((line) => `${line}\n`).join('');
    const literal = !/(?<!\$)\$\{|(?<!%)%\{/.test(joined);
    return literal ? joined.replaceAll('$${', '${').replaceAll('%%{', '%{') : null;
  }

  identifier(): string {
    const name = this.match(identifierPattern);
    if (name === null) throw new HclError(`unexpected ${JSON.stringify(this.peek())}`);
    return name;
  }

  match(pattern: RegExp): string | null {
    pattern.lastIndex = this.at;
    const match = pattern.exec(this.source);
    if (match === null) return null;
    this.at += match[0].length;
    return match[0];
  }

  peek(): string {
    return this.source[this.at] ?? '';
  }

  atComment(): boolean {
    const two = this.#rest(2);
    return two[0] === '#' || two === '//' || two === '/*';
  }

  skipComment(): void {
    const inline = this.#rest(2) === '/*';
    const end = this.source.indexOf(inline ? '*/' : '\n', this.at + (inline ? 2 : 0));
    if (end === -1 && inline) throw new HclError('a comment is not closed');
    this.at = end === -1 ? this.source.length : end + (inline ? 2 : 0);
  }

  skipSpace(newlines: boolean): void {
    for (;;) {
      const character = this.peek();
      if (character === ' ' || character === '\t' || (newlines && (character === '\n' || character === '\r')))
        this.at++;
      else if (this.atComment()) this.skipComment();
      else return;
    }
  }
}

function withoutIndent(lines: readonly string[]): string[] {
  const indents = lines.filter((line) => line.trim() !== '').map((line) => line.length - line.trimStart().length);
  const common = indents.length === 0 ? 0 : Math.min(...indents);
  return lines.map((line) => line.slice(common));
}
