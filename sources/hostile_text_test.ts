// Random and hostile text through every parser: a result or a coded refusal, never another throw.
import assert from "node:assert/strict";
import fc from "fast-check";
import { packScript } from "../dev/emulators/sites/packed_page.ts";
import { createSites, htmlResponse } from "../dev/emulators/sites/sites.ts";
import { collectSources } from "./collect.ts";
import { parseCatalogueText } from "./catalogue/text.ts";
import { entryLines } from "./catalogue/entry_lines.ts";
import { parseEpisodeLabel } from "./page/episode_label.ts";
import { expiryOf } from "./page/expiry.ts";
import { parseProviderText } from "./providers/text.ts";
import { RECIPE_NAMES } from "./recipes/recipes.ts";
import { serverLabel } from "./page/resolution.ts";
import { resolveServer } from "./resolvers/index.ts";
import { unpackScripts } from "./resolvers/packed_script.ts";
import { propertyStrings } from "./page/script_strings.ts";
import { isAllowed } from "./fetch/robots.ts";
import { SourceError } from "./source_error.ts";
import { matchTitle } from "./discovery/title_match.ts";

/** Pieces that are difficult for parsers, in any order. */
const fragments = fc.array(
  fc.oneof(
    fc.constantFrom(
      "<iframe src=",
      "<IFRAME",
      "'",
      '"',
      ">",
      "</iframe>",
      "<option value=",
      "data-page=",
      "&quot;",
      "{",
      "}",
      "[",
      "]",
      "\\",
      "\0",
      "\n",
      "eval(function(p,a,c,k,e,d){",
      "}('",
      "',62,2,'",
      "'.split('|')",
      "file:",
      "src :",
      "https://a.test/",
      "//",
      "javascript:",
      "about:blank",
      ".m3u8",
      "<select class=mirror>",
      "<div class=lstepsiode>",
      "Episode",
      "–",
      "1e9",
      "Season",
      "2",
      "%",
      "%00",
      "<template>",
      "<!--",
    ),
    fc.string({ maxLength: 12, unit: "binary" }),
  ),
  { maxLength: 40 },
).map((parts) => parts.join(""));

Deno.test("unpackScripts: any script that packScript packs → the script", () => {
  const script = fc.string({ maxLength: 200, unit: "grapheme-ascii" }).filter((text) =>
    /\w/.test(text) && !text.includes("|")
  );
  fc.assert(
    fc.property(script, fc.constantFrom(10 as const, 36 as const, 62 as const), (text, radix) => {
      assert.deepEqual(unpackScripts(packScript(text, { radix })), [text]);
    }),
    { numRuns: 300 },
  );
});

Deno.test("pure parsers: any text → no throw", () => {
  fc.assert(
    fc.property(fragments, fragments, (a, b) => {
      parseEpisodeLabel(a);
      serverLabel(a, b);
      expiryOf(a);
      propertyStrings(a, ["file", "src"]);
      unpackScripts(a);
      entryLines(a);
      isAllowed(a, new URL("https://a.test/x"), "keepstream");
      const match = matchTitle({ titles: [a], year: null }, [{ title: b, page: "https://a.test/" }]);
      assert.ok(match === null || match.score >= 0.85);
    }),
    { numRuns: 400 },
  );
});

Deno.test("lists as text: any text → entries, or issues with a line", () => {
  fc.assert(
    fc.property(fc.oneof(fragments, fc.json()), (text) => {
      for (
        const parsed of [parseProviderText(text), parseCatalogueText(text, "json"), parseCatalogueText(text, "csv")]
      ) {
        if (!parsed.ok) assert.ok(parsed.issues.every(({ line, reasons }) => line >= 1 && reasons.length >= 1));
      }
    }),
    { numRuns: 300 },
  );
});

Deno.test("resolveServer: any page → media or a SourceError", async () => {
  await fc.assert(
    fc.asyncProperty(fragments, async (html) => {
      const { fetch } = createSites({
        "a.test": (_request, url) => url.pathname === "/e" ? htmlResponse(html) : new Response("", { status: 404 }),
      });
      try {
        const { url } = await resolveServer({ embedUrl: "https://a.test/e" }, {
          fetch,
          signal: new AbortController().signal,
          now: Date.now,
        });
        assert.match(url, /^https?:/);
      } catch (error) {
        if (!(error instanceof SourceError)) throw error;
      }
    }),
    { numRuns: 150 },
  );
});

Deno.test("collectSources: any site and recipe → a list with a state", async () => {
  await fc.assert(
    fc.asyncProperty(fragments, fc.constantFrom(...RECIPE_NAMES), async (html, recipe) => {
      const { fetch } = createSites({ "a.test": () => htmlResponse(html) });
      const provider = { name: "p", recipe, base_url: "https://a.test", config: {} };
      const list = await collectSources({ malId: 1, episode: 1, provider, page: "/x", catalogue: null }, {
        fetch,
        signal: new AbortController().signal,
        now: Date.now,
      });
      assert.ok(["ok", "empty", "failed"].includes(list.state) && (list.state === "ok") === (list.servers.length > 0));
    }),
    { numRuns: 200 },
  );
});
