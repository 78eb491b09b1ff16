import assert from "node:assert/strict";
import { type HlsPlan, isSamePlan, planHls, type PlanOptions } from "./hls_plan.ts";

const SEGMENT = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nNAME.ts\n#EXT-X-ENDLIST\n";
const CODECS = 'CODECS="avc1.640028,mp4a.40.2"';

/** Text, or a status. A function is called with the number of earlier requests. */
type Resource = string | number | ((earlier: number) => string | number);

/** A host of `resources` by name; other names are media playlists with a segment of that name. */
function hostOf(resources: Readonly<Record<string, Resource>>) {
  const asked: string[] = [];
  const fetch = (url: string): Promise<Response> => {
    const name = new URL(url).pathname.slice(1);
    const found = resources[name] ?? SEGMENT.replace("NAME", name);
    const resource = typeof found === "function" ? found(asked.filter((one) => one === name).length) : found;
    asked.push(name);
    return Promise.resolve(
      typeof resource === "number" ? new Response("x", { status: resource }) : new Response(resource),
    );
  };
  const plan = (more: Partial<PlanOptions> = {}) =>
    planHls("https://cdn.test/master", {
      fetch,
      policy: {},
      headers: {},
      signal: new AbortController().signal,
      wanted: "720p",
      ...more,
    });
  return { plan, asked };
}

function master(variants: Readonly<Record<string, string>>, tags: readonly string[] = []): string {
  const lines = Object.entries(variants).flatMap(([name, attributes]) => [`#EXT-X-STREAM-INF:${attributes}`, name]);
  return ["#EXTM3U", ...tags, ...lines, ""].join("\n");
}

function media(type: string, group: string, names: string): string[] {
  return names.split(" ").map((name) =>
    `#EXT-X-MEDIA:TYPE=${type},GROUP-ID="${group}",NAME="${name}",LANGUAGE="${name}",URI="${group}-${name}"`
  );
}

/** The names of the planned segments. */
function segmentsOf({ renditions }: HlsPlan): string[] {
  return renditions.map(({ segments }) => segments[0]!.url.replace(/^.*\/|\.ts$/g, ""));
}

const HD = `BANDWIDTH=5,RESOLUTION=1280x720,${CODECS}`;
const SD = `BANDWIDTH=1,RESOLUTION=640x360,${CODECS}`;
const REDUNDANT = master({ one: HD, two: HD, sd: SD });

const MISSING: Readonly<Record<string, Resource>> = {
  404: 404,
  403: 403,
  410: 410,
  500: 500,
  503: 503,
  "a web page": "<!doctype html>",
  "a playlist without segments": "#EXTM3U\n#EXT-X-ENDLIST\n",
  "another multivariant playlist": master({ x: HD }),
};

for (const [what, resource] of Object.entries(MISSING)) {
  Deno.test(`planHls: variant is ${what} → its redundant copy, then the next`, async () => {
    const copy = await hostOf({ master: REDUNDANT, one: resource }).plan();
    assert.deepEqual(segmentsOf(copy), ["two"]);
    assert.equal(copy.variant!.height, 720);
    const next = await hostOf({ master: REDUNDANT, one: resource, two: resource }).plan();
    assert.deepEqual(segmentsOf(next), ["sd"]);
    assert.equal(next.variant!.height, 360);
    assert.match(next.variant!.reason, /2 before it could not be read/);
  });
}

Deno.test("planHls: 503 once → asked again, not another variant", async () => {
  const host = hostOf({ master: REDUNDANT, one: (earlier) => earlier === 0 ? 503 : SEGMENT.replace("NAME", "one") });
  assert.deepEqual(segmentsOf(await host.plan()), ["one"]);
  assert.deepEqual(host.asked, ["master", "one", "one"]);
});

Deno.test("planHls: no variant can be read → the best one's failure", async () => {
  const host = hostOf({ master: REDUNDANT, one: 404, two: 503, sd: "x" });
  await assert.rejects(host.plan(), { code: "source_expired", message: /\/one responded with 404/ });
});

Deno.test("planHls: at most 12 variants are tried", async () => {
  const names = Array.from({ length: 100 }, (_, i) => `v${i}`);
  const resources = Object.fromEntries(names.map((name) => [name, 404]));
  const host = hostOf({ master: master(Object.fromEntries(names.map((name) => [name, HD]))), ...resources });
  await assert.rejects(host.plan(), { code: "source_expired" });
  assert.equal(host.asked.length, 13);
});

Deno.test("planHls: a variant on a private host, or with DRM → refused, no other", async () => {
  const key = '#EXT-X-KEY:METHOD=SAMPLE-AES,URI="k"\n#EXTINF:4,';
  const drm = hostOf({ master: REDUNDANT, one: SEGMENT.replace("#EXTINF:4,", key) });
  await assert.rejects(drm.plan(), { code: "drm" });
  const local = hostOf({ master: master({ "http://10.0.0.1/v": HD, two: HD }) });
  await assert.rejects(local.plan(), { code: "policy_denied" });
});

const GROUPS = master(
  {
    aac: `${HD},AUDIO="aac"`,
    ac3: `BANDWIDTH=9,RESOLUTION=1280x720,CODECS="avc1.640028,ac-3",AUDIO="ac3"`,
    sd: `${SD},AUDIO="aac"`,
  },
  [...media("AUDIO", "ac3", "ja"), ...media("AUDIO", "aac", "ja en")],
);

Deno.test("planHls: groups of AAC and AC-3 → AAC, with all its languages", async () => {
  const plan = await hostOf({ master: GROUPS }).plan();
  assert.deepEqual(segmentsOf(plan), ["aac", "aac-ja", "aac-en"]);
  assert.match(plan.variant!.reason, /matches 720p; AVC and AAC before AC-3/);
  assert.deepEqual(plan.leftOut, []);
});

Deno.test("planHls: an audio rendition is missing → the next group, reported", async () => {
  const host = hostOf({ master: GROUPS, "aac-ja": 404 });
  const plan = await host.plan();
  assert.deepEqual(segmentsOf(plan), ["ac3", "ac3-ja"]);
  assert.deepEqual(plan.leftOut.map(({ kind, code }) => [kind, code]), [["audio", "other_group"]]);
  assert.match(plan.leftOut[0]!.detail, /^en: /);
});

const ONE_GROUP = master({ hd: `${HD},AUDIO="a"` }, media("AUDIO", "a", "ja en"));

Deno.test("planHls: one of two languages is missing, no other group → reported", async () => {
  const plan = await hostOf({ master: ONE_GROUP, "a-en": 404 }).plan();
  assert.deepEqual(segmentsOf(plan), ["hd", "a-ja"]);
  assert.deepEqual(plan.leftOut, [{ kind: "audio", code: "not_found", detail: "en: its playlist is missing" }]);
});

Deno.test("planHls: all audio is missing, or a language for now → fails", async () => {
  const gone = hostOf({ master: ONE_GROUP, "a-en": 404, "a-ja": 404 });
  await assert.rejects(gone.plan(), { code: "source_expired", message: /a-ja responded/ });
  await assert.rejects(hostOf({ master: ONE_GROUP, "a-en": 503 }).plan(), { code: "upstream_5xx" });
});

const SUBTITLED = master({ hd: `${HD},SUBTITLES="s"` }, [
  ...media("SUBTITLES", "s", "id en ms"),
  '#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="s",NAME="x",URI="http://["',
]);

Deno.test("planHls: subtitles missing or broken → left out and reported", async () => {
  const plan = await hostOf({ master: SUBTITLED, "s-id": 404, "s-en": "<html>" }).plan();
  assert.deepEqual(segmentsOf(plan), ["hd", "s-ms"]);
  assert.deepEqual(plan.leftOut, [
    { kind: "subtitles", code: "unreadable", detail: "SUBTITLES: a URL that cannot be parsed" },
    { kind: "subtitles", code: "not_found", detail: "id: its playlist is missing" },
    { kind: "subtitles", code: "unreadable", detail: "en: its playlist cannot be used" },
  ]);
  const busy = await hostOf({ master: SUBTITLED, "s-id": 503 }).plan();
  assert.deepEqual(busy.leftOut.map(({ code }) => code), ["unreadable", "unavailable"]);
});

Deno.test("planHls: the source again → the same variant, or refused", async () => {
  const first = await hostOf({ master: REDUNDANT, one: 404 }).plan();
  const again = await hostOf({ master: REDUNDANT }).plan({ like: first });
  assert.equal(again.variant!.height, 720);
  // The only variant with these attributes is missing now: another one has the same durations, but other frames.
  await assert.rejects(hostOf({ master: REDUNDANT, one: 404, two: 404 }).plan({ like: first }), {
    code: "source_expired",
  });
  for (const other of [master({ sd: SD }), SEGMENT]) {
    await assert.rejects(hostOf({ master: other }).plan({ like: first }), { message: /source changed/ });
  }
  const subtitled = await hostOf({ master: SUBTITLED, "s-id": 404 }).plan();
  const back = await hostOf({ master: SUBTITLED }).plan({ like: subtitled });
  assert.ok(isSamePlan(back, subtitled));
  assert.ok(!isSamePlan(await hostOf({ master: SUBTITLED }).plan(), subtitled));
  assert.ok(!isSamePlan(await hostOf({ master: REDUNDANT }).plan({ wanted: "360p" }), first));
});

Deno.test("planHls: a media playlist → no variant", async () => {
  const plan = await hostOf({ master: SEGMENT }).plan();
  assert.deepEqual([plan.variant, plan.leftOut, plan.renditions.length], [null, [], 1]);
});
