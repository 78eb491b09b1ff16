import assert from "node:assert/strict";
import { unwrap } from "../result.ts";
import type { RewriteOptions } from "../hls/rewrite.ts";
import { parseMpd } from "./mpd.ts";
import { rewriteMpd } from "./rewrite.ts";
import { type DashSegments, segmentsOf } from "./segments.ts";

const PROXY = "https://worker.test/proxy";
const BASE = new URL("https://cdn.test/v/1/m.mpd?token=a%2Fb");

function options(more: Partial<RewriteOptions> = {}): RewriteOptions {
  return {
    base: BASE,
    proxyUrl: PROXY,
    policy: {},
    parent: { scope: "https://cdn.test/v/", tail: "exp=1&sc=1&sig=parent" },
    sign: ({ href, exact }) => Promise.resolve(`exp=1&sig=${exact ? "exact" : "below"}:${href.replaceAll("&", "%26")}`),
    ...more,
  };
}

async function rewrite(text: string, more: Partial<RewriteOptions> = {}): Promise<string> {
  return unwrap(await rewriteMpd(text, options(more)));
}

/** Every URL that a player would request, by representation: what the proxy would fetch, and how the link is signed. */
async function requests(mpd: string): Promise<Record<string, string[]>> {
  const parsed = unwrap(parseMpd(await rewrite(mpd), new URL(`${PROXY}?url=m`)));
  const representations = parsed.periods.flatMap(({ sets }) => sets.flatMap((set) => set.representations));
  return Object.fromEntries(representations.map((one) => {
    const found = unwrap(segmentsOf(one, { durationSeconds: 8, maxSegments: 100 }));
    return [one.id, urlsOf(found).map(targetOf)];
  }));
}

function urlsOf(found: DashSegments): string[] {
  if (found.kind === "file") return [found.url, ...(found.init === null ? [] : [found.init.url])];
  return [...(found.init === null ? [] : [found.init]), ...found.segments].map(({ url }) => url);
}

function targetOf(link: string): string {
  const { origin, pathname, searchParams } = new URL(link);
  assert.equal(`${origin}${pathname}`, PROXY, link);
  const sig = searchParams.get("sig");
  const signed = sig === null ? "unsigned " : sig === "parent" ? "" : `[${sig}] `;
  return signed + searchParams.get("url")!.replace("https://cdn.test/v/1/", "");
}

const representation = (id: string, content = "") =>
  `<Representation id="${id}" bandwidth="9">${content}</Representation>`;
const mpd = (content: string, before = "") =>
  `<?xml version="1.0"?>\n<MPD type="static" mediaPresentationDuration="PT8S">${before}<Period><AdaptationSet mimeType="video/mp4">${content}</AdaptationSet></Period></MPD>\n`;
const TEMPLATE =
  '<SegmentTemplate duration="4" media="$RepresentationID$/s$Number%03d$.m4s?t=1&amp;u=2" initialization="$RepresentationID$/i.mp4"/>';

Deno.test("MPD: template shared by representations → one link in place", async () => {
  const text = mpd(TEMPLATE + representation("a") + representation("b"));
  const expected = text
    .replace('media="', `media="${PROXY}?exp=1&amp;sc=1&amp;sig=parent&amp;url=https%3A%2F%2Fcdn.test%2Fv%2F1%2F`)
    .replace(
      '$RepresentationID$/s$Number%03d$.m4s?t=1&amp;u=2"',
      '$RepresentationID$%2Fs$Number%03d$.m4s%3Ft%3D1%26u%3D2"',
    )
    .replace(
      'initialization="$RepresentationID$/',
      `initialization="${PROXY}?exp=1&amp;sc=1&amp;sig=parent&amp;url=https%3A%2F%2Fcdn.test%2Fv%2F1%2F$RepresentationID$%2F`,
    );
  assert.equal(await rewrite(text), expected);
  assert.deepEqual(await requests(text), {
    a: ["a/i.mp4", "a/s001.m4s?t=1&u=2", "a/s002.m4s?t=1&u=2"],
    b: ["b/i.mp4", "b/s001.m4s?t=1&u=2", "b/s002.m4s?t=1&u=2"],
  });
});

Deno.test("MPD: BaseURL at every level → resolved for each representation", async () => {
  const text = mpd(
    "<BaseURL>set/</BaseURL>" + TEMPLATE + representation("a", "<BaseURL>../up/</BaseURL>") +
      representation("b", "<BaseURL>https://other.test/x/</BaseURL>") + '<Representation id="c" bandwidth="1"/>',
    "<BaseURL>\n  top/ </BaseURL>",
  );
  const found = await requests(text);
  assert.equal(found.a![1], "top/up/a/s001.m4s?t=1&u=2");
  assert.equal(found.b![1], "[below:https://other.test/x/] https://other.test/x/b/s001.m4s?t=1&u=2");
  assert.equal(found.c![0], "top/set/c/i.mp4");
  assert.doesNotMatch(await rewrite(text), /<BaseURL>/);
});

Deno.test("MPD: file with SegmentBase → BaseURL is the link", async () => {
  const info = '<SegmentBase indexRange="0-9"><Initialization range="0-5"/></SegmentBase>';
  const text = mpd(
    info + representation("a", "<BaseURL>a b.mp4?x=1&amp;y=2</BaseURL>") + '<Representation id="b"/>',
    "<BaseURL>f.mp4</BaseURL>",
  );
  assert.deepEqual(await requests(text), {
    a: ["a%20b.mp4?x=1&y=2", "a%20b.mp4?x=1&y=2"],
    b: ["f.mp4", "f.mp4"],
  });
});

Deno.test("MPD: SegmentList, shared or not → every URL a link", async () => {
  const list =
    '<SegmentList duration="4"><Initialization sourceURL="i.mp4"/><SegmentURL media="1.m4s"/><SegmentURL media="/abs/2.m4s?q=&quot;" index="x"/></SegmentList>';
  const shared = await requests(mpd(list + representation("a") + representation("b", "<BaseURL>b/</BaseURL>")));
  assert.deepEqual(shared, {
    a: ["i.mp4", "1.m4s", "[below:https://cdn.test/abs/] https://cdn.test/abs/2.m4s?q=%22"],
    b: ["b/i.mp4", "b/1.m4s", "[below:https://cdn.test/abs/] https://cdn.test/abs/2.m4s?q=%22"],
  });
  const ranges =
    '<SegmentList duration="4"><Initialization range="0-9"/><SegmentURL mediaRange="10-19"/><SegmentURL mediaRange="20-29"/></SegmentList>';
  const own = await requests(mpd(representation("a", `<BaseURL>f.mp4</BaseURL>${ranges}`)));
  assert.deepEqual(own, { a: ["f.mp4", "f.mp4", "f.mp4"] });
});

Deno.test("MPD: representation ids that a link cannot contain → filled in", async () => {
  const text = mpd(TEMPLATE + representation("a&amp;sig=x b") + representation("..") + representation("ok"));
  const found = await requests(text);
  assert.deepEqual(found["a&sig=x b"]!.slice(0, 1), ["a&sig=x%20b/i.mp4"]);
  assert.equal(found[".."]![0], "https://cdn.test/v/i.mp4");
  assert.equal(found.ok![0], "ok/i.mp4");
});

Deno.test("MPD: template at another origin's root → its directory, or refused", async () => {
  const root = "<BaseURL>https://root.test/</BaseURL>";
  const found = await requests(mpd(root + TEMPLATE + representation("a")));
  assert.equal(found.a![0], "[below:https://root.test/a/] https://root.test/a/i.mp4");
  const bare = await requests(mpd(root + '<SegmentTemplate duration="4" media="$Number$.m4s"/>' + representation("a")));
  assert.equal(bare.a![0], "unsigned https://root.test/$Number$.m4s");
});

Deno.test("MPD: private hosts and other schemes → links without a signature", async () => {
  for (const base of ["http://127.0.0.1/x/", "http://169.254.169.254/x/", "file:///etc/x/", "ftp://a.test/x/"]) {
    const found = await requests(mpd(`<BaseURL>${base}</BaseURL>${TEMPLATE}${representation("a")}`));
    assert.match(found.a![0]!, /^unsigned /, base);
  }
  const data = mpd(representation("a", "<BaseURL>data:video/mp4;base64,AA&amp;=</BaseURL>"));
  assert.match(await rewrite(data), /<BaseURL>data:video\/mp4;base64,AA&amp;=<\/BaseURL>/);
});

Deno.test("MPD: Location, steering, clocks, fallbacks, reports, xlink → links", async () => {
  const text = mpd(
    representation("a"),
    '<Location>https://l.test/d/m.mpd</Location><PatchLocation ttl="9">p.mpp</PatchLocation><ContentSteering defaultServiceLocation="x">/steer?a=1</ContentSteering>' +
      '<UTCTiming schemeIdUri="urn:mpeg:dash:utc:http-xsdate:2014" value="https://t.test/c/now https://u.test/c/now"/>' +
      '<UTCTiming schemeIdUri="urn:mpeg:dash:utc:direct:2014" value="2026-01-01T00:00:00Z"/>' +
      '<Metrics metrics="x"><Reporting dvb:reportingUrl="https://r.test/r/r"/></Metrics>',
  ).replace("<Period>", '<Period xlink:href="https://x.test/x/p.xml" xlink:actuate="onLoad">')
    .replace("<AdaptationSet ", '<AdaptationSet xlink:href="urn:mpeg:dash:resolve-to-zero:2013" ');
  const rewritten = await rewrite(text);
  for (const host of ["l", "t", "u", "r", "x"]) assert.doesNotMatch(rewritten, new RegExp(`"https://${host}\\.test`));
  const links = [...rewritten.matchAll(/https:\/\/worker\.test[^"<\s]*/g)].map(([link]) =>
    targetOf(link.replaceAll("&amp;", "&"))
  );
  assert.deepEqual(links.map((link) => link.replace(/^\[.*\] /, "")), [
    "https://l.test/d/m.mpd",
    "p.mpp",
    "https://cdn.test/steer?a=1",
    "https://t.test/c/now",
    "https://u.test/c/now",
    "https://r.test/r/r",
    "https://x.test/x/p.xml",
    "m.mpd?token=a%2Fb",
  ]);
  assert.match(rewritten, /resolve-to-zero:2013"/);
  assert.match(rewritten, /value="2026-01-01/);
});

Deno.test("MPD: rewritten twice → unchanged", async () => {
  const text = mpd(
    TEMPLATE + representation("a") + representation("b", '<SegmentTemplate media="x/$Time$"/>') +
      representation("c", "<BaseURL>c.mp4</BaseURL><SegmentBase/>"),
  );
  const once = await rewrite(text);
  assert.equal(await rewrite(once), once);
});

Deno.test("MPD: a prefix for its elements → kept in what is inserted", async () => {
  const text =
    `<d:MPD xmlns:d="urn:x"><d:Period><d:AdaptationSet><d:Representation id='a'/></d:AdaptationSet></d:Period></d:MPD>`;
  assert.match(await rewrite(text), /<d:Representation id='a'><d:BaseURL>https.*<\/d:BaseURL><\/d:Representation>/);
});

Deno.test("MPD: SegmentTimeline, comments and events → byte for byte", async () => {
  const text = mpd(
    TEMPLATE.replace(
      "/>",
      '><SegmentTimeline><!-- </SegmentTimeline> --><S t="0" d="1" r="7"/><S d="2"></S></SegmentTimeline></SegmentTemplate>',
    ) +
      representation("a"),
    "<!-- <BaseURL>no/</BaseURL> -->",
  ).replace("</Period>", '<EventStream><Event><x a="&lt;"/></Event></EventStream></Period>');
  const rewritten = await rewrite(text);
  const rest = (one: string) => one.replaceAll(/(?:media|initialization)="[^"]*"/g, "");
  assert.equal(rest(rewritten), rest(text));
});

for (
  const [name, text, code] of [
    ["a DTD", '<!DOCTYPE MPD [<!ENTITY e "x">]><MPD/>', "malformed"],
    ["a cut document", mpd(TEMPLATE).slice(0, 150), "malformed"],
    ["an impossible base URL", mpd(representation("a"), "<BaseURL>http://[/</BaseURL>"), "malformed"],
    ["501 representations", mpd(representation("a").repeat(501)), "too_large"],
    ["another document", "<html/>", "not_a_playlist"],
  ] as const
) {
  Deno.test(`MPD: ${name} → ${code}`, async () => {
    const result = await rewriteMpd(text, options());
    assert.equal(result.ok ? "accepted" : result.error.code, code);
  });
}
