/** Headings, links and blocks of a Markdown text. Example: `headingsOf("# A\n## B c")` → [{ level: 1, … }, { level: 2, … }]. */

export interface Heading {
  readonly level: number;
  readonly text: string;
  /** As GitHub derives it: lower case, punctuation removed, spaces replaced. */
  readonly anchor: string;
}

/** Of text outside of fenced blocks. */
export function headingsOf(markdown: string): readonly Heading[] {
  return [...withoutBlocks(markdown).matchAll(/^(#{1,6}) (.+)$/gm)].map(([, marks, text]) => ({
    level: marks!.length,
    text: text!,
    anchor: text!.toLowerCase().replace(/[^\p{L}\p{N}\s_-]/gu, "").trim().replace(/\s/g, "-"),
  }));
}

/** Targets of links and pictures, outside of fenced blocks. */
export function linksOf(markdown: string): readonly string[] {
  const text = withoutBlocks(markdown);
  const inline = [...text.matchAll(/\]\(([^()\s]+)\)/g)];
  const pictures = [...text.matchAll(/<img src="([^"]+)"/g)];
  return [...inline, ...pictures].map((match) => match[1]!);
}

/** Contents of the fenced blocks in this language. */
export function blocksOf(markdown: string, language: string): readonly string[] {
  return [...markdown.matchAll(/^ *```(\w*)\n([\s\S]*?)^ *```$/gm)].filter((match) => match[1] === language).map((
    match,
  ) => match[2]!);
}

function withoutBlocks(markdown: string): string {
  return markdown.replace(/^ *```[\s\S]*?^ *```$/gm, "");
}
