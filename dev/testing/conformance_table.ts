/**
 * Writes the table of the 64 conformance cases into docs/proxy.md, from the titles of the tests themselves.
 * `deno run -A dev/testing/conformance_table.ts`; dev/testing/conformance_table_test.ts fails while the document is behind.
 */
const ROOT = new URL("../../", import.meta.url);
const DOCUMENT = new URL("docs/proxy.md", ROOT);
const BEGIN = "<!-- conformance table: written by dev/testing/conformance_table.ts -->";
const END = "<!-- end of conformance table -->";
export const CASES = 64;

/** Headings of the list, by the first case below each. */
const HEADINGS: Readonly<Record<number, string>> = {
  1: "HTTP",
  22: "Address",
  27: "Signing",
  36: "HLS",
  54: "Hub",
  61: "Encrypted bodies",
};

export interface Case {
  readonly number: number;
  readonly title: string;
  readonly file: string;
}

/** Every conformance test of cf-proxy, in order. */
export async function readCases(): Promise<Case[]> {
  const cases: Case[] = [];
  for await (const { name } of Deno.readDir(new URL("cf-proxy/", ROOT))) {
    if (!name.endsWith("_test.ts")) continue;
    cases.push(...casesOf(await Deno.readTextFile(new URL(`cf-proxy/${name}`, ROOT)), name));
  }
  return cases.sort((a, b) => a.number - b.number);
}

/** The cases that a test file's text declares. */
export function casesOf(source: string, file: string): Case[] {
  const declared = /\b(?:conformance|archive)\(\s*(\d+),\s*(["`])((?:[^\\]|\\.)*?)\2\s*,/g;
  const plain = /Deno\.test\(\s*"conformance (\d+): ((?:[^"\\]|\\.)*)"/g;
  return [
    ...[...source.matchAll(declared)].map((match) => ({ number: Number(match[1]), title: clean(match[3]!), file })),
    ...[...source.matchAll(plain)].map((match) => ({ number: Number(match[1]), title: clean(match[2]!), file })),
  ];
}

export function render(document: string, cases: readonly Case[]): string {
  const begin = document.indexOf(BEGIN);
  const end = document.indexOf(END);
  if (begin === -1 || end === -1) throw new Error("docs/proxy.md has lost the marks of its table");
  const rows: string[] = ["| case | what is asserted | test |", "|---|---|---|"];
  for (const { number, title, file } of cases) {
    const heading = HEADINGS[number];
    if (heading !== undefined && !rows.includes(`| | **${heading}** | |`)) rows.push(`| | **${heading}** | |`);
    rows.push(`| ${number} | ${title.replaceAll(/[|_*]/g, "\\$&")} | [${file}](../cf-proxy/${file}) |`);
  }
  return `${document.slice(0, begin)}${BEGIN}\n${rows.join("\n")}\n${document.slice(end)}`;
}

/** A title as it stands in a source, without its escapes; a placeholder stands for the values a loop puts there. */
function clean(title: string): string {
  return title.replaceAll(/\$\{[^}]*\}/g, "429, 500, 403, 404").replaceAll(/\\(.)/g, "$1").replaceAll("<", "&lt;");
}

if (import.meta.main) {
  await Deno.writeTextFile(DOCUMENT, render(await Deno.readTextFile(DOCUMENT), await readCases()));
}
