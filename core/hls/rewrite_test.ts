import assert from "node:assert/strict";
import fc from "fast-check";
import { parsePlaylist } from "./playlist.ts";
import { type RewriteOptions, rewritePlaylist } from "./rewrite.ts";
import { directoryCount, parseSigningKeys, sealContext, signTail, type VerifiedLink, verifyLink } from "../link.ts";
import { unwrap } from "../result.ts";
import { checkUrl } from "../url_policy.ts";

const keys = unwrap(parseSigningKeys(`k1:${"A".repeat(43)}`));
const PROXY = "https://worker.test/proxy";
const EXPIRES_AT = 4_000_000_000;
const BASE = new URL("https://cdn.test/v/1/m.m3u8?t=1");

/** The Worker's options for a link that covers the first `scope` directories (null: an exact URL). */
async function options(base: URL, scope: number | null): Promise<RewriteOptions & { signatures: number }> {
  const sealed = await sealContext({ headers: { referer: "https://p.test/" } }, keys);
  const tail = await signTail(base, { keys, expiresAt: EXPIRES_AT, scopeDirectories: scope, sealed });
  const link = new URL(`${PROXY}?url=${encodeURIComponent(base.href)}&${tail}`);
  const parent: VerifiedLink = unwrap(await verifyLink(link, keys, 0));
  const made = {
    base,
    proxyUrl: PROXY,
    policy: { ownHosts: ["worker.test"] },
    parent,
    signatures: 0,
    sign({ href, exact }: { href: string; exact: boolean }) {
      made.signatures++;
      const url = new URL(href);
      return signTail(url, {
        keys,
        expiresAt: EXPIRES_AT,
        scopeDirectories: exact ? null : directoryCount(url),
        sealed,
      });
    },
  };
  return made;
}

async function rewrite(text: string, scope: number | null = null, base = BASE): Promise<string> {
  return unwrap(await rewritePlaylist(text, await options(base, scope)));
}

function linksOf(text: string): string[] {
  return [...text.matchAll(/https:\/\/worker\.test\/proxy\?[^"\s]*/g)].map((match) => match[0]);
}

const name = fc.stringMatching(/^[a-zA-Z0-9 ._~+%&=,;:@!()'$*ü日-]{1,16}$/);
const uri = fc.oneof(
  name,
  fc.tuple(fc.array(fc.oneof(name, fc.constantFrom("..", ".", "%2e%2e", "a%2fb")), { maxLength: 4 }), name).map((
    [path, last],
  ) => [...path, last].join("/")),
  fc.tuple(
    fc.constantFrom(
      "https://cdn.test",
      "http://other.test:8080",
      "HTTPS://CDN.test",
      "//third.test",
      "http://127.0.0.1",
      "https://u:p@cdn.test",
      "https://worker.test",
    ),
    name,
  )
    .map(([host, path]) => `${host}/${path}`),
  fc.webUrl({ withQueryParameters: true, withFragments: true }),
  fc.constantFrom(
    "data:,x",
    "skd://k",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "?q=1",
    "/",
    "..",
    "http://[broken",
  ),
).map((text) => text.replaceAll('"', "").trim()).filter((text) =>
  text !== "" && !text.startsWith("#") && !text.includes("{$")
);
const line = fc.oneof(
  { weight: 6, arbitrary: uri.map((one) => `#EXTINF:4,\n${one}`) },
  { weight: 2, arbitrary: uri.map((one) => `#EXT-X-KEY:METHOD=AES-128,URI="${one}",IV=0x1`) },
  { weight: 1, arbitrary: uri.map((one) => `#EXT-X-DATERANGE:ID="a,b=c",X-ASSET-URI="${one}",URI="${one}"`) },
  {
    weight: 1,
    arbitrary: fc.constantFrom("", "# comment", "#EXT-X-DISCONTINUITY", "#EXT-X-BYTERANGE:10@5", '#EXTINF:1,URI="x"'),
  },
);
const playlist = fc.tuple(fc.array(line, { maxLength: 25 }), fc.constantFrom("\n", "\r\n"))
  .map(([lines, end]) => `#EXTM3U${end}${lines.join("\n").replaceAll("\n", end)}${end}`);
const scope = fc.constantFrom(null, 0, 1, 2);

Deno.test("rewritePlaylist: rewritten again → unchanged; same input → same output", async () => {
  await fc.assert(
    fc.asyncProperty(playlist, scope, async (text, directories) => {
      const once = await rewrite(text, directories);
      assert.equal(await rewrite(once, directories), once);
      assert.equal(await rewrite(text, directories), once);
    }),
    { numRuns: 300 },
  );
});

Deno.test("rewritePlaylist: signed children → verify; others → refused URLs", async () => {
  await fc.assert(
    fc.asyncProperty(playlist, scope, async (text, directories) => {
      for (const child of linksOf(await rewrite(text, directories))) {
        const url = new URL(child);
        // A line that starts with the proxy's URL already is kept; it has no valid signature.
        const target = url.searchParams.get("url");
        if (!url.searchParams.has("sig")) {
          if (target === null) continue;
          assert.equal(checkUrl(target, { ownHosts: ["worker.test"] }).ok, false, target);
          continue;
        }
        const link = unwrap(await verifyLink(url, keys, 0));
        assert.equal(link.url.href, target);
        assert.equal(link.expiresAt, EXPIRES_AT);
        assert.equal(link.context.headers?.referer, "https://p.test/");
        assert.doesNotMatch(link.url.host, /127\.0\.0\.1|worker\.test/);
      }
    }),
    { numRuns: 300 },
  );
});

Deno.test("rewritePlaylist: resolved links → the URLs of the original playlist", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(uri, { maxLength: 20 }), async (uris) => {
      const text = "#EXTM3U\n" + uris.map((one) => `#EXTINF:1,\n${one}\n`).join("");
      const parsed = parsePlaylist(text, BASE);
      if (!parsed.ok || parsed.value.kind !== "media") return;
      const lines = (await rewrite(text)).split("\n").filter((one) => one !== "" && !one.startsWith("#"));
      const through = lines.map((one) =>
        one.startsWith(`${PROXY}?`) ? new URL(one).searchParams.get("url") ?? one : one
      );
      assert.deepEqual(through, parsed.value.segments.map((segment) => segment.url));
    }),
    { numRuns: 300 },
  );
});

const shape = fc.record({
  directory: fc.constantFrom(
    "",
    "a/",
    "../2/",
    "/x y/",
    "https://cdn.test/v/1/",
    "https://b.test/c/",
    "http://10.0.0.1/",
  ),
  query: fc.constantFrom("", "?t=1&e=2", "?$&$1=%2B", "?ü"),
  extra: fc.constantFrom(
    "",
    "#EXT-X-BYTERANGE:1@2",
    '#EXT-X-KEY:METHOD=AES-128,URI="k"',
    "",
    "# \0 \0",
    "%41.ts",
    "..",
    "a b.ts",
    " c.ts",
  ),
  every: fc.integer({ min: 1, max: 400 }),
  count: fc.integer({ min: 1, max: 900 }),
});
const longPlaylist = fc.tuple(fc.array(shape, { minLength: 1, maxLength: 4 }), fc.constantFrom("\n", "\r\n"))
  .map(([runs, end]) => {
    const lines = runs.flatMap(({ directory, query, extra, every, count }) =>
      Array.from({ length: count }, (_, i) => [
        "#EXTINF:4,t?t=1&e=2",
        ...(i % every === 0 ? [extra] : []),
        `${directory}s-${i}.ts${query}`,
      ]).flat()
    );
    return lines.map((one) => one + end);
  });

Deno.test("rewritePlaylist: long playlist → same as its lines one by one", async () => {
  await fc.assert(
    fc.asyncProperty(longPlaylist, scope, async (lines, directories) => {
      const pieces: string[] = [];
      for (let i = 0; i < lines.length; i += 6) pieces.push(await rewrite(lines.slice(i, i + 6).join(""), directories));
      // In short pieces, so that a failure shows the difference instead of 200 kB.
      const expected = pieces.join("").split("\n");
      const found = (await rewrite(lines.join(""), directories)).split("\n");
      assert.equal(found.length, expected.length);
      for (const [i, line] of expected.entries()) assert.equal(found[i], line);
    }),
    { numRuns: 60 },
  );
});

const urlOf = (name: string) => `v+1/${name}?t=(1)`;

for (const end of ["\n", "\r\n"]) {
  Deno.test(`rewritePlaylist: text between alike URLs, ${JSON.stringify(end)} → copied`, async () => {
    const copied = ["#EXTINF:4,URI=?t=(1)", "# {x}", "", " \t", "#EXT-X-BYTERANGE:1@2", "#EXT-X-DISCONTINUITY"];
    const text = ["#EXTM3U", ...["a-1_~.ts", "b", "c"].flatMap((name) => [...copied, urlOf(name)])].join(end);
    const head = (await rewrite(urlOf(""), 2)).replace(/%3Ft.*/, "");
    assert.equal(
      await rewrite(text, 2),
      ["#EXTM3U", ...["a-1_~.ts", "b", "c"].flatMap((name) => [...copied, `${head}${name}%3Ft%3D(1)`])].join(end),
    );
  });
}

const others = [
  "a.ts",
  "vv1/a?t=(1)",
  urlOf("%41"),
  urlOf("ü"),
  urlOf("c/d"),
  urlOf(".."),
  urlOf(""),
  urlOf("a") + " ",
  urlOf("a") + "&u=2",
  "v+1/a",
  `${PROXY}?url=x`,
  '#EXT-X-KEY:METHOD=AES-128,URI="k"',
  '#EXT-X-DATERANGE:ID="a",X-ASSET-LIST="l"',
  '#EXT-X-DEFINE:NAME="x",VALUE="y"',
  '#EXT-X-SESSION-DATA:VALUE="{x}"',
];
for (const other of others) {
  Deno.test(`rewritePlaylist: ${JSON.stringify(other)} among alike URLs → as alone`, async () => {
    for (const directories of [null, 2]) {
      for (const lines of [[other], [urlOf("a"), other, urlOf("b")], [urlOf("a"), urlOf("b"), other]]) {
        const alone = await Promise.all(lines.map((line) => rewrite(line + "\n", directories)));
        assert.equal(await rewrite(lines.map((line) => line + "\n").join(""), directories), alone.join(""));
      }
    }
  });
}

Deno.test("rewritePlaylist: 50,000 URLs, or 30,000 unlike ones → too_large", async () => {
  const segments = (count: number, more = "") =>
    "#EXTM3U\n" + Array.from({ length: count }, (_, i) => `${more}#EXTINF:2,\n${i}.ts\n`).join("");
  const day = await rewrite(segments(43_200, "#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:00Z\n"), 2);
  assert.equal(linksOf(day).length, 43_200);
  assert.equal((await rewritePlaylist(segments(50_000), await options(BASE, 2))).ok, true);
  const keys = (count: number) => segments(count, '#EXT-X-KEY:METHOD=AES-128,URI="k"\n');
  const maps = (count: number) => "#EXTM3U\n" + '#EXT-X-MAP:URI="i"\n'.repeat(count);
  const queries = (count: number) => Array.from({ length: count }, (_, i) => `a?${i}\n`).join("");
  for (const text of [keys(25_000), maps(30_000), queries(30_000)]) {
    assert.equal((await rewritePlaylist(text, await options(BASE, 2))).ok, true);
  }
  for (const text of [segments(50_001), keys(25_001), maps(30_001), queries(30_002)]) {
    const refused = await rewritePlaylist(text, await options(BASE, 2));
    assert.ok(!refused.ok && refused.error.code === "too_large");
  }
});

Deno.test("rewritePlaylist: over 256 attributes in a tag with a URL → too_large", async () => {
  const tag = (count: number) => `#EXT-X-MEDIA:${"A=1,".repeat(count - 1)}URI="a"`;
  assert.equal(linksOf(await rewrite(tag(256))).length, 1);
  const refused = await rewritePlaylist(tag(257), await options(BASE, null));
  assert.ok(!refused.ok && refused.error.code === "too_large");
});

Deno.test("rewritePlaylist: unterminated quoted URL → ends at its line", async () => {
  const lines = ['#EXT-X-MAP:URI="a', "b", '#EXT-X-MAP:URI="c', ""];
  const rewritten = (await rewrite(lines.join("\n"))).split("\n");
  assert.deepEqual(rewritten.map((line) => linksOf(line).length), [1, 1, 1, 0]);
});

Deno.test("rewritePlaylist: arbitrary text → same number of lines, no throw", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.string({ unit: "binary" }), { maxLength: 30 }), async (lines) => {
      const text = "#EXTM3U\n" + lines.join("\n");
      const result = await rewritePlaylist(text, await options(BASE, null));
      if (result.ok) assert.ok(result.value.split("\n").length === text.split("\n").length);
    }),
    { numRuns: 300 },
  );
});

for (const [what, line] of [["alike", "a\n"], ["not alike", "a\nb/b\n"]] as const) {
  Deno.test(`rewritePlaylist: 512 KiB of short lines, ${what} → too_large`, async () => {
    for (const directories of [null, 1]) {
      const text = "#EXTM3U\n" + line.repeat(500_000 / line.length);
      const result = await rewritePlaylist(text, await options(BASE, directories));
      assert.ok(!result.ok && result.error.code === "too_large");
    }
  });
}

Deno.test("rewritePlaylist: in scope → no signature; others → one per directory", async () => {
  const text = "#EXTM3U\n" + Array.from({ length: 5000 }, (_, i) => `#EXTINF:4,\nseg${i}.ts\n`).join("");
  const inScope = await options(BASE, 1);
  await rewritePlaylist(text, inScope);
  assert.equal(inScope.signatures, 0);
  const exact = await options(BASE, null);
  await rewritePlaylist(text, exact);
  assert.equal(exact.signatures, 1);
  const spread = await options(BASE, 2);
  const result = unwrap(
    await rewritePlaylist(
      "#EXTM3U\n" +
        ["a/x.ts", "../2/x.ts", "../2/y.ts", "https://b.test/x.ts", "z%2fy.ts"].map((one) => `#EXTINF:1,\n${one}\n`)
          .join(""),
      spread,
    ),
  );
  assert.equal(spread.signatures, 3);
  assert.deepEqual(linksOf(result).map((one) => new URL(one).searchParams.get("sc")), ["2", "2", "2", null, null]);
});

Deno.test("rewritePlaylist: child at a foreign origin's root → exact signature", async () => {
  const lines = Array.from(
    { length: 40 },
    (_, i) => `#EXTINF:4,\n//b.test/${i}.ts?t=1\n#EXT-X-KEY:METHOD=AES-128,URI="/k"\n`,
  );
  for (const directories of [null, 1]) {
    const made = await options(BASE, directories);
    const links = linksOf(unwrap(await rewritePlaylist(`#EXTM3U\n${lines.join("")}`, made)));
    assert.deepEqual([...new Set(links.map((link) => new URL(link).searchParams.get("sc")))], [null]);
    assert.equal(made.signatures, 41);
    const stolen = new URL(links[0]!);
    stolen.searchParams.set("url", "https://b.test/other");
    assert.deepEqual(await verifyLink(stolen, keys, 0), { ok: false, error: "bad_signature" });
  }
});

Deno.test("rewritePlaylist: directories of a foreign origin → never its root", async () => {
  const text = "#EXTM3U\n" + Array.from({ length: 40 }, (_, i) => `#EXTINF:4,\nhttps://b.test/${i}/a.ts\n`).join("");
  const links = linksOf(await rewrite(text));
  assert.deepEqual([...new Set(links.map((link) => new URL(link).searchParams.get("sc")))], ["1"]);
});

Deno.test("rewritePlaylist: playlist at its origin's root → one signature", async () => {
  const made = await options(new URL("https://cdn.test/m.m3u8"), null);
  const text = "#EXTM3U\n" + Array.from({ length: 5000 }, (_, i) => `#EXTINF:4,\nseg${i}.ts\n`).join("");
  const links = linksOf(unwrap(await rewritePlaylist(text, made)));
  assert.deepEqual([links.length, made.signatures], [5000, 1]);
});

Deno.test("rewritePlaylist: too many exact signatures → too_large", async () => {
  const text = (count: number) =>
    "#EXTM3U\n" + Array.from({ length: count }, (_, i) => `#EXTINF:4,\n//b.test/${i}\n`).join("");
  assert.equal((await rewritePlaylist(text(2000), await options(BASE, null))).ok, true);
  const refused = await rewritePlaylist(text(2001), await options(BASE, null));
  assert.ok(!refused.ok && refused.error.code === "too_large");
});

Deno.test("rewritePlaylist: white space before #EXTM3U → removed; data: key kept", async () => {
  const key = '#EXT-X-KEY:METHOD=AES-128,URI="data:;base64,AAECAwQFBgcICQoLDA0ODw=="';
  const written = await rewrite(`\uFEFF\n \r\n#EXTM3U\n${key}\n#EXTINF:1,\na.ts\n`);
  assert.deepEqual(written.split("\n").slice(0, 3), ["#EXTM3U", key, "#EXTINF:1,"]);
});
