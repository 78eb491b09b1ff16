/** README.md and README.id.md have the same sections, commands, examples and links. */
import assert from "node:assert/strict";
import { blocksOf, headingsOf, linksOf } from "./markdown.ts";

const ROOT = new URL("../../", import.meta.url);
const [english, indonesian] = await Promise.all(
  ["README.md", "README.id.md"].map((name) => Deno.readTextFile(new URL(name, ROOT))),
) as [string, string];

/** Without comments, which are translated. */
const commandsOf = (text: string) =>
  blocksOf(text, "sh").flatMap((block) => block.split("\n").map((line) => line.replace(/\s+#.*/, "")));

Deno.test("README: headings → the same levels in Indonesian", () => {
  const levels = (text: string) => headingsOf(text).map(({ level }) => level);
  assert.deepEqual(levels(indonesian), levels(english));
});

Deno.test("README: commands and examples → the same in Indonesian", () => {
  assert.ok(commandsOf(english).length > 2);
  assert.deepEqual(commandsOf(indonesian), commandsOf(english));
  assert.deepEqual(blocksOf(indonesian, "json"), blocksOf(english, "json"));
});

Deno.test("README: links → the same in Indonesian, and to each other", () => {
  const links = (text: string) => linksOf(text).filter((link) => !/^README/.test(link)).sort();
  assert.deepEqual(links(indonesian), links(english));
  assert.ok(linksOf(english).includes("README.id.md"));
  assert.ok(linksOf(indonesian).includes("README.md"));
});
