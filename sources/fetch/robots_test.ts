// RFC 9309: the examples of its own text, what section 2.2.2 says about percent-encoding, and how the file is fetched.
import assert from "node:assert/strict";
import { createSites, type Site } from "../../dev/emulators/sites/sites.ts";
import { createPageClient } from "./page_client.ts";
import { createRobots, isAllowed } from "./robots.ts";
import { SourceError } from "../source_error.ts";

const allowed = (text: string, path: string, product = "keepstream") =>
  isAllowed(text, new URL(`https://a.test${path}`), product);
const disallows = (rule: string, path: string) => !allowed(`User-agent: *\nDisallow: ${rule}`, path);

/** Section 5.1, with foobot's rules, the shared group of barbot and bazbot, and quxbot's empty one. */
const SIMPLE_EXAMPLE = `User-Agent: *
Disallow: *.gif$
Disallow: /example/
Allow: /publications/

User-Agent: foobot
Disallow:/
Allow:/example/page.html
Allow:/example/allowed.gif

User-Agent: barbot
User-Agent: bazbot
Disallow: /example/page.html

User-Agent: quxbot
`;

Deno.test("RFC 9309 section 5.1: simple example → each crawler's group", () => {
  for (
    const [product, path, expected] of [
      ["other", "/a.gif", false],
      ["other", "/a.gif?x", true],
      ["other", "/example/page.html", false],
      ["other", "/publications/x", true],
      ["other", "/", true],
      ["foobot", "/publications/x", false],
      ["foobot", "/example/page.html", true],
      ["foobot", "/example/allowed.gif", true],
      ["FooBot", "/x", false],
      ["barbot", "/example/page.html", false],
      ["bazbot", "/example/page.html", false],
      ["bazbot", "/a.gif", true],
      ["quxbot", "/example/page.html", true],
      ["quxbot", "/a.gif", true],
    ] as const
  ) {
    assert.equal(allowed(SIMPLE_EXAMPLE, path, product), expected, `${product} ${path}`);
  }
});

Deno.test("robots.txt: several rules match → longest wins, Allow on a tie", () => {
  const text = "User-Agent: foobot\nAllow: /example/page/\nDisallow: /example/page/disallowed.gif\n";
  assert.equal(allowed(text, "/example/page/", "foobot"), true);
  assert.equal(allowed(text, "/example/page/disallowed.gif", "foobot"), false);
  for (const lines of ["Allow: /a\nDisallow: /a", "Disallow: /a\nAllow: /a"]) {
    assert.equal(allowed(`User-agent: *\n${lines}`, "/a"), true);
  }
  assert.equal(allowed("User-agent: *\nAllow: /a%62c\nDisallow: /abc", "/abc"), true, "as many octets, once decoded");
  assert.equal(allowed("User-agent: *\nAllow: /ü\nDisallow: /%C3%BC/", "/ü/"), false);
});

Deno.test("robots.txt: groups of one product token → merged (2.2.1)", () => {
  const text = "user-agent: ExampleBot\ndisallow: /foo\ndisallow: /bar\n\nuser-agent: ExampleBot\ndisallow: /baz\n";
  for (const path of ["/foo", "/bar", "/baz"]) assert.equal(allowed(text, path, "examplebot"), false);
  assert.equal(allowed(text, "/qux", "examplebot"), true);
});

/** Section 2.2.2: a path in robots.txt, and one in a URL, that are the same. */
const SAME = [
  ["/foo/bar?baz=quz", "/foo/bar?baz=quz"],
  ["/foo/bar?baz=https://foo.bar", "/foo/bar?baz=https%3A%2F%2Ffoo.bar"],
  ["/foo/bar?baz=https%3A%2F%2Ffoo.bar", "/foo/bar?baz=https://foo.bar"],
  ["/foo/bar?baz=https%3a%2f%2ffoo.bar", "/foo/bar?baz=https%3A%2F%2Ffoo.bar"],
  ["/foo/bar/\u30C4", "/foo/bar/%E3%83%84"],
  ["/foo/bar/%E3%83%84", "/foo/bar/%E3%83%84"],
  ["/foo/bar/%e3%83%84", "/foo/bar/\u30C4"],
  ["/foo/bar/%62%61%7A", "/foo/bar/baz"],
  ["/foo/bar/baz", "/foo/bar/%62%61%7a"],
  ["/foo/ü", "/foo/%C3%BC"],
  ["/foo/%c3%bc", "/foo/ü"],
  ["/%62az", "/baz"],
  ["/%7Euser", "/~user"],
  ["/~user", "/%7euser"],
  ["/a%2db%2E%5F", "/a-b._"],
  ["/a%2Fb", "/a%2fb"],
  ["/a b", "/a%20b"],
  ["/a|b", "/a%7Cb"],
  ["/a[b]", "/a[b]"],
  ["/100%", "/100%"],
  ["/a?q='x'", "/a?q='x'"],
  ["/a:b@c", "/a%3Ab%40c"],
  ["/a%3ab", "/a:b"],
  ["/a?q=ü", "/a?q=%C3%BC"],
  ["/😀", "/%F0%9F%98%80"],
  // Section 2.2.3: the characters that are special, meant literally.
  ["/path/file-with-a-%2A.html", "/path/file-with-a-*.html"],
  ["/path/foo-%24", "/path/foo-$"],
  ["/a$b", "/a$b"],
  ["/this/path/exactly$", "/this/path/exactly"],
  ["/this/*/exactly", "/this/that/exactly"],
] as const;

Deno.test("robots.txt: percent-encoding → both sides normalised", () => {
  for (const [rule, path] of SAME) assert.ok(disallows(rule, path), `${rule} ${path}`);
});

const DIFFERENT = [
  ["/a%2Fb", "/a/b"],
  ["/a/b", "/a%2Fb"],
  ["/a%3Fb", "/a?b"],
  ["/a?b", "/a%3Fb"],
  ["/a?x%26y", "/a?x&y"],
  ["/a?x%3Dy", "/a?x=y"],
  ["/Foo", "/foo"],
  ["/this/path/exactly$", "/this/path/exactly/not"],
  ["/a%24", "/a"],
  ["/a%2A", "/ab"],
  ["foo", "/foo"],
] as const;

Deno.test("robots.txt: reserved characters → kept encoded, case-sensitive", () => {
  for (const [rule, path] of DIFFERENT) assert.ok(!disallows(rule, path), `${rule} ${path}`);
});

Deno.test("robots.txt: wildcard → any characters, also ? and escapes", () => {
  for (
    const [rule, path] of [
      ["/*/private", "/x?next=/private"],
      ["/*%2Fsecret", "/x?u=%2Fsecret"],
      ["*.php$", "/a/b.php"],
      ["/*ü*.html$", "/x/%C3%BC/y.html"],
      ["/a**b", "/ab"],
      ["*", "/"],
      ["/*", "/x"],
      ["/$", "/"],
      ["/a*a$", "/aa"],
    ] as const
  ) {
    assert.ok(disallows(rule, path), `${rule} ${path}`);
  }
  for (const [rule, path] of [["/$", "/x"], ["*.php$", "/b.php?x"], ["/a*a$", "/a"], ["/*b", "/a"]] as const) {
    assert.ok(!disallows(rule, path), `${rule} ${path}`);
  }
});

Deno.test("robots.txt: User-agent with a version → its product token", () => {
  for (
    const agent of [
      "keepstream",
      "KEEPSTREAM",
      "keepstream/1.0",
      "keepstream/1.0 (+https://keepstream.test)",
      "keepstream bot",
      "KeepStream*",
      "  keepstream\t# that one",
      "*",
      "* # everybody",
    ]
  ) {
    assert.equal(allowed(`User-agent:${agent}\nDisallow: /`, "/x"), false, agent);
  }
  for (const agent of ["keepstreamer", "keep", "my-keepstream", "mykeepstream/1.0", "Mozilla keepstream", "", "*bot"]) {
    assert.equal(allowed(`User-agent: ${agent}\nDisallow: /`, "/x"), true, agent);
  }
  const both = "User-agent: *\nDisallow: /\n\nUser-agent: keepstream/2\nDisallow: /own\n";
  assert.deepEqual(["/x", "/own"].map((path) => allowed(both, path)), [true, false]);
});

Deno.test("robots.txt: BOM, CR, comments, other records → read correctly", () => {
  for (
    const text of [
      "\ufeffUser-agent: *\nDisallow: /x",
      "User-agent: *\rDisallow: /x\r",
      "User-agent: *\r\nDisallow: /x\r\n",
      "# a\nUser-agent : * # b\n\n\n  disallow :/x# c\n",
      "User-agent: keepstream\nSitemap: https://a.test/s.xml\nUser-agent: other\nDisallow: /x",
      "User-agent: keepstream\nCrawl-delay: 5\nUser-agent: other\nDisallow: /x",
      "User-agent: *\nnonsense\nDisallow /y\nDisallow: /x",
    ]
  ) {
    assert.deepEqual([allowed(text, "/x"), allowed(text, "/y")], [false, true], JSON.stringify(text));
  }
  assert.equal(allowed("Disallow: /x\nUser-agent: *\nDisallow: /y", "/x"), true, "before the first group");
  assert.equal(allowed("User-agent: *\nDisallow: /", "/robots.txt"), true);
  for (const text of ["", "<!doctype html><p>User-agent: *", "\0\0"]) assert.equal(allowed(text, "/x"), true);
});

Deno.test("robots.txt made to cost time → not evaluated, and nothing is allowed", () => {
  const rules = `Disallow: /${"*a".repeat(20)}b\n`.repeat(10_000);
  assert.equal(allowed(`User-agent: *\n${rules}`, `/${"a".repeat(4_000)}`), false);
  assert.equal(allowed(`User-agent: *\n${rules}`, "/aaa"), true);
  const long = `Disallow: /*${"a".repeat(2_000)}b${"a".repeat(2_000)}\n`.repeat(120);
  assert.equal(allowed(`User-agent: *\n${long}`, `/${"a".repeat(16_000)}`), false, "few rules, searched for long");
  assert.equal(allowed(`User-agent: *\n${long}`, `/${"a".repeat(100)}`), true);
});

/** The outcome of a check of /x with the site's robots.txt, and the requests. */
async function check(site: Site, others: Readonly<Record<string, Site>> = {}) {
  const { fetch, requests } = createSites({ "a.test": site, ...others });
  const pages = createPageClient({ fetch, signal: new AbortController().signal });
  const robots = createRobots({ now: () => 0, product: "keepstream" });
  try {
    await robots.check(new URL("https://a.test/x"), pages);
    return { outcome: "allowed", requests };
  } catch (error) {
    assert.ok(error instanceof SourceError);
    return { outcome: error.reason, requests };
  }
}

const DENY = "User-agent: *\nDisallow: /x\n";
const respond = (status: number): Site => () => new Response("", { status });

Deno.test("robots.txt: 4xx → all allowed; 5xx, unreachable → nothing", async () => {
  for (const status of [400, 401, 403, 404, 410, 429, 451]) {
    assert.equal((await check(respond(status))).outcome, "allowed", `${status}`);
  }
  assert.equal((await check(() => new Response("Just a moment...", { status: 403 }))).outcome, "allowed");
  for (const status of [500, 502, 503, 504]) assert.equal((await check(respond(status))).outcome, "http_5xx");
  assert.equal((await check(() => Promise.reject(new TypeError("connection refused")))).outcome, "network");
});

Deno.test("robots.txt: five redirects, to other hosts too → followed", async () => {
  const hops = (count: number): Site => (_request, url) => {
    const hop = Number(url.searchParams.get("hop") ?? 0);
    if (hop === count) return new Response(DENY);
    return Response.redirect(`https://${hop % 2 ? "a" : "b"}.test/robots?hop=${hop + 1}`);
  };
  for (const [count, outcome] of [[1, "robots"], [5, "robots"], [6, "allowed"]] as const) {
    assert.equal((await check(hops(count), { "b.test": hops(count) })).outcome, outcome, `${count} redirects`);
  }
  const elsewhere = await check(() => Response.redirect("http://10.0.0.1/robots.txt"));
  assert.deepEqual([elsewhere.outcome, elsewhere.requests.length], ["policy_denied", 1]);
});

Deno.test("robots.txt: over the size limit → the rest is ignored", async () => {
  const filler = "# filler\n".repeat(70_000);
  assert.equal((await check(() => new Response(DENY + filler))).outcome, "robots");
  assert.equal((await check(() => new Response("# x\n".repeat(125_000) + DENY))).outcome, "robots", "at 500 kB");
  assert.equal((await check(() => new Response(filler + DENY))).outcome, "allowed");
  const cut = `${"#".repeat(512 * 1024 - 25)}\nUser-agent: *\nDisallow: /y/z`;
  assert.equal((await check(() => new Response(cut))).outcome, "allowed", "a line that is cut is none");
});

Deno.test("robots.txt: another charset in its headers → read as UTF-8", async () => {
  const site: Site = () =>
    new Response(new TextEncoder().encode("\ufeffUser-agent: *\nDisallow: /ü"), {
      headers: { "content-type": "text/plain; charset=iso-8859-1" },
    });
  const { fetch } = createSites({ "a.test": site });
  const pages = createPageClient({ fetch, signal: new AbortController().signal });
  const robots = createRobots({ now: () => 0, product: "keepstream" });
  await assert.rejects(robots.check(new URL("https://a.test/%c3%bc"), pages), /robots\.txt/);
  await robots.check(new URL("https://a.test/u"), pages);
});
