// Synthetic pages: scripts packed like P.A.C.K.E.R. does, with variations in radix, argument names, tails and quoting.

export interface PackOptions {
  readonly radix?: 10 | 36 | 62;
  readonly lastArgument?: "d" | "r";
  readonly tail?: "short" | "full";
}

/** A packed script: `eval(function(p,a,c,k,e,d){…}('…',62,9,'…'.split('|'),0,{}))`. */
export function packScript(script: string, options: PackOptions = {}): string {
  const { radix = 62, lastArgument = "d", tail = "full" } = options;
  const words = [...new Set(script.match(/\w+/g) ?? [])];
  const index = new Map(words.map((word, at) => [word, encode(at, radix)]));
  const payload = script.replace(/\w+/g, (word) => index.get(word)!);
  // The packer leaves out a word that reads like its own number.
  const list = words.map((word) => (index.get(word) === word ? "" : word));
  const end = tail === "full" ? ",0,{}))" : "))";
  return `eval(function(p,a,c,k,e,${lastArgument}){while(c--)if(k[c])p=p.replace(new RegExp('\\\\b'+c.toString(a)+'\\\\b','g'),k[c]);return p}(` +
    `'${escape(payload)}',${radix},${words.length},'${escape(list.join("|"))}'.split('|')${end}`;
}

export function packedPage(...scripts: readonly string[]): string {
  const blocks = scripts.map((script) => `<script type='text/javascript'>${script}</script>`);
  return `<!doctype html><html><body><div id="vplayer"></div>${blocks.join("\n")}</body></html>`;
}

/** The setup call of such players, unpacked. */
export function playerSetup(links: Readonly<Record<string, string>>): string {
  return `var links=${
    JSON.stringify(links)
  };jwplayer("vplayer").setup({sources:[{file:links.hls4||links.hls3||links.hls2,type:"hls"}],` +
    `tracks:[{file:"/subs/en.vtt",label:"English",kind:"captions"},{file:"/thumbs.jpg",kind:"thumbnails"}]});`;
}

/** 141 bytes in which every character stands for a long word: millions when unpacked. */
export function expansionBomb(wordLength: number, repeats: number): string {
  return `eval(function(p,a,c,k,e,d){return p}('${"0 ".repeat(repeats)}',62,1,'${
    "x".repeat(wordLength)
  }'.split('|'),0,{}))`;
}

/** 40 kB that make a backtracking expression slow: heads without ends, quotes without partners. */
export function adversarialPages(bytes = 40_000): readonly string[] {
  const fill = (unit: string) => unit.repeat(Math.ceil(bytes / unit.length));
  return [
    fill("eval(function(p,a,c,k,e,d){"),
    fill("function(p,a,c,k,e,}('"),
    `eval(function(p,a,c,k,e,d){}('${fill("\\'")}`,
    `eval(function(p,a,c,k,e,d){}('${fill("}('a',62,")}',62,1000000000,'x'.split('|'),0,{}))`,
    `eval(function(p,a,c,k,e,d){${fill("}  (  ")}`,
    `eval(function(p,a,c,k,e,d){}('${fill("a b ")}',62,1000000000,'${fill("|")}'.split('|'),0,{}))`,
    fill(`file:"`),
    fill(`file : `),
    fill(`file${" ".repeat(60)}`),
    fill(`hls2:'\\`),
  ];
}

function encode(value: number, radix: number): string {
  const digit = (n: number) => (n > 35 ? String.fromCharCode(n + 29) : n.toString(36));
  return (value < radix ? "" : encode(Math.floor(value / radix), radix)) + digit(value % radix);
}

function escape(text: string): string {
  return text.replace(/\\/g, "\\\\").replace(/'/g, "\\'");
}
