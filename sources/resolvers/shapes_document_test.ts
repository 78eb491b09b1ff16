// docs/reference/resolvers.md lists the shapes of the registry, in its order.
import assert from "node:assert/strict";
import { FAMILIES } from "./index.ts";

const DOCUMENT = new URL("../../docs/reference/resolvers.md", import.meta.url);

/** The sections that the document must have. */
function sections(): string {
  return FAMILIES.map(({ name, what, shapes }) => {
    const rows = shapes.map((shape) => `| \`${shape.name}\` | ${shape.what.replaceAll("|", "\\|")} |`);
    return [`### ${name}`, "", `${what[0]!.toUpperCase()}${what.slice(1)}.`, "", "| shape | |", "|---|---|", ...rows]
      .join("\n");
  }).join("\n\n");
}

Deno.test("resolvers.md: families and shapes → those of the registry", async () => {
  const text = await Deno.readTextFile(DOCUMENT);
  const listed = text.slice(text.indexOf("### "), text.indexOf("\n## Left out")).trim();
  assert.equal(listed, sections());
});
