// Reads the tokens of a script, one after the other, without ever going back.
// Example: new ScriptScanner(`a = "b" // c`).word() → "a".
// Own code: js-tokens and acorn need 0.3 s for a script of 600 kB, of which a response may contain dozens; this takes a tenth.

const EOF = -1;

export class ScriptScanner {
  at = 0;
  /** Characters that were looked at in strings, templates, comments and regular expressions, also in those without an end. */
  visited = 0;
  readonly #text: string;
  /** A slash before this position is an operator: the line has been searched for the end of a regular expression. */
  #noRegExpBefore = 0;

  constructor(text: string) {
    this.#text = text;
  }

  get ended(): boolean {
    return this.at >= this.#text.length;
  }

  /** The next character after white space and comments; empty at the end. */
  peek(): string {
    this.#skipBlanks();
    return this.#text.charAt(this.at);
  }

  /** The text from the current position; does not skip white space. */
  startsWith(text: string): boolean {
    return this.#text.startsWith(text, this.at);
  }

  /** The next characters, which are not consumed. */
  ahead(length: number): string {
    return this.#text.slice(this.at, this.at + length);
  }

  slice(from: number, to: number): string {
    return this.#text.slice(from, to);
  }

  /** Consumes the text if it is next. */
  take(text: string): boolean {
    this.#skipBlanks();
    if (!this.#text.startsWith(text, this.at)) return false;
    this.at += text.length;
    return true;
  }

  /** Consumes an identifier or keyword; null if there is none. */
  word(): string | null {
    this.#skipBlanks();
    const from = this.at;
    if (!isWordStart(this.#code(from))) return null;
    let end = from + 1;
    while (isWordPart(this.#code(end))) end++;
    this.at = end;
    return this.#text.slice(from, end);
  }

  /** Consumes a number; null if there is none. */
  number(): number | null {
    const from = this.at;
    const first = this.#code(from);
    if (!isDigit(first) && !(first === 46 && isDigit(this.#code(from + 1)))) return null;
    let end = from + 1;
    while (isWordPart(this.#code(end)) || this.#code(end) === 46) end++;
    this.at = end;
    return end - from > 40 ? NaN : Number(this.#text.slice(from, end));
  }

  /** Consumes a string in single or double quotes; undefined if it does not end in its line. */
  string(): string | undefined {
    const text = this.#text;
    const quote = text.charCodeAt(this.at);
    const from = ++this.at;
    for (;; this.at++) {
      const code = this.#code(this.at);
      if (code === quote) break;
      if (code === 92) this.at++;
      if (code !== EOF && code !== 10) continue;
      this.visited += this.at - from;
      return undefined;
    }
    this.visited += this.at - from;
    return unescape(text.slice(from, this.at++));
  }

  /** Consumes the literal part of a template, up to its end or its next `${`, which are consumed, too. */
  templatePart(): { readonly text: string; readonly ended: boolean } {
    const from = this.at;
    for (;; this.at++) {
      const code = this.#code(this.at);
      const isEnd = code === EOF || code === 96;
      if (code === 92) this.at++;
      else if (isEnd || (code === 36 && this.#code(this.at + 1) === 123)) {
        const text = unescape(this.#text.slice(from, this.at));
        this.visited += this.at - from;
        this.at += isEnd ? 1 : 2;
        return { text, ended: isEnd };
      }
    }
  }

  /** Consumes a regular expression with its flags; null, consuming the slash, if it does not end in its line. */
  regExp(): { readonly source: string; readonly flags: string } | null {
    const from = ++this.at;
    let inClass = false;
    if (from < this.#noRegExpBefore) return null;
    for (let end = from;; end++) {
      const code = this.#code(end);
      if (code === EOF || code === 10) {
        this.#noRegExpBefore = end;
        this.visited += end - from;
        return null;
      }
      if (code === 92) end++;
      else if (code === 91) inClass = true;
      else if (code === 93) inClass = false;
      else if (code === 47 && !inClass) {
        this.at = end + 1;
        while (isWordPart(this.#code(this.at))) this.at++;
        return { source: this.#text.slice(from, end), flags: this.#text.slice(end + 1, this.at) };
      }
    }
  }

  #code(at: number): number {
    return at < this.#text.length ? this.#text.charCodeAt(at) : EOF;
  }

  #skipBlanks(): void {
    for (;;) {
      const code = this.#code(this.at);
      if (isBlank(code)) this.at++;
      else if (code === 47 && this.startsWith("/*")) this.#skipTo("*/", this.at + 2);
      else if ((code === 47 && this.startsWith("//")) || (code === 60 && this.startsWith("<!--"))) {
        this.#skipTo("\n", this.at);
      } else return;
    }
  }

  #skipTo(end: string, from: number): void {
    const found = this.#text.indexOf(end, from);
    this.at = found === -1 ? this.#text.length : found + end.length;
    this.visited += this.at - from;
  }
}

const SIMPLE_ESCAPES: Readonly<Record<string, string>> = {
  n: "\n",
  r: "\r",
  t: "\t",
  b: "\b",
  f: "\f",
  v: "\v",
  "0": "\0",
  "\n": "",
};

/** Replaces the escape sequences of a string literal. */
export function unescape(text: string): string {
  if (!text.includes("\\")) return text;
  return text.replace(
    /\\(?:u([0-9a-fA-F]{4})|u\{([0-9a-fA-F]{1,6})\}|x([0-9a-fA-F]{2})|(\r\n|[^]))/g,
    (whole, unicode, point, hex, plain) => {
      if (plain !== undefined) return SIMPLE_ESCAPES[plain] ?? plain;
      const code = parseInt(unicode ?? point ?? hex, 16);
      return code <= 0x10ffff ? String.fromCodePoint(code) : whole;
    },
  );
}

function isBlank(code: number): boolean {
  return code === 32 || (code >= 9 && code <= 13) || code === 0xa0 || code === 0xfeff || code === 0x2028 ||
    code === 0x2029;
}

function isDigit(code: number): boolean {
  return code >= 48 && code <= 57;
}

function isWordStart(code: number): boolean {
  return (code >= 97 && code <= 122) || (code >= 65 && code <= 90) || code === 95 || code === 36 ||
    (code > 127 && !isBlank(code));
}

function isWordPart(code: number): boolean {
  return isWordStart(code) || isDigit(code);
}
