// MPDs rewritten by the running Worker, and what a player requests through the links.
import assert from "node:assert/strict";
import { codeOf, media, pattern, type ProxyFixture, proxyTest, send, text } from "../../dev/testing/proxy_fixture.ts";

const TYPE = "application/dash+xml";
const SEGMENT = pattern(64);
const MPD = `<?xml version="1.0"?>
<MPD type="static" mediaPresentationDuration="PT8S"><Period><AdaptationSet mimeType="video/mp4">
<SegmentTemplate duration="4" media="$RepresentationID$/s$Number%03d$.m4s?t=%2F" initialization="i.mp4"/>
<Representation id="a"/><Representation id="b"><BaseURL>/cdn/b/</BaseURL></Representation>
</AdaptationSet></Period></MPD>
`;

function templates(mpd: string): string[] {
  return [...mpd.matchAll(/media="([^"]*)"/g)].map(([, link]) => link!.replaceAll("&amp;", "&"));
}

async function assertRewritten(proxy: ProxyFixture, response: Response): Promise<string> {
  const body = await response.text();
  assert.equal(response.status, 200, body);
  assert.equal(response.headers.get("content-type"), TYPE);
  assert.match(response.headers.get("content-security-policy")!, /sandbox/);
  assert.ok(templates(body)[0]!.startsWith(`${proxy.worker.url}/proxy?`), body);
  return body;
}

proxyTest("MPD → links; each segment comes from the representation's base", async (proxy) => {
  proxy.route("/v/m.mpd", text(MPD, TYPE));
  proxy.route("/v/a/s001.m4s", media(SEGMENT));
  proxy.route("/cdn/b/b/s002.m4s", media(SEGMENT));
  const body = await assertRewritten(proxy, await proxy.get("/v/m.mpd", { sign: { scopeDirectories: 1 } }));
  const [, a, b] = templates(body);
  for (
    const [template, id, number, target] of [
      [a!, "a", "001", "/v/a/s001.m4s?t=%2F"],
      [b!, "b", "002", "/cdn/b/b/s002.m4s?t=%2F"],
    ] as const
  ) {
    const link = template.replace("$RepresentationID$", id).replace("$Number%03d$", number);
    const response = await fetch(link, { headers: { range: "bytes=8-15" } });
    assert.equal(response.status, 206, await response.clone().text());
    assert.deepEqual(new Uint8Array(await response.arrayBuffer()), SEGMENT.slice(8, 16));
    assert.equal(proxy.seen.at(-1)!.target, target);
    const altered = await fetch(template.replace("$RepresentationID$", "..%2F..%2Fx").replace("$Number%03d$", "1"));
    assert.equal(altered.status, 403, "the signature covers its directory only");
    await altered.body?.cancel();
  }
});

proxyTest("MPD of any XML type, without a type or name → detected", async (proxy) => {
  const types = [
    "text/xml",
    "application/xml",
    "application/octet-stream",
    "text/plain",
    "",
    "Application/DASH+xml; x=y",
  ];
  for (const [path, type] of [...types.map((one) => ["/v/play", one]), ["/v/m.mpd", "text/html"]] as const) {
    proxy.route(path!, text(MPD.replace("<MPD", `<!-- ${"packager ".repeat(100)}--><MPD`), type));
    await assertRewritten(proxy, await proxy.get(path!));
    await assertRewritten(proxy, await proxy.get(path!, { headers: { range: "bytes=0-" } }));
  }
});

proxyTest("XML that is no MPD → unchanged, or 502 in place of media", async (proxy) => {
  const ttml = `<?xml version="1.0"?><tt xmlns="http://www.w3.org/ns/ttml">${"x".repeat(5000)}</tt>`;
  proxy.route("/v/s", text(ttml, "application/octet-stream"));
  assert.equal(await (await proxy.get("/v/s")).text(), ttml);
  proxy.route("/v/x", text(ttml, "text/xml"));
  assert.equal(await codeOf(await proxy.get("/v/x")), "not_media");
  proxy.route("/v/y.mpd", text("<html>blocked</html>", "text/html"));
  assert.equal(await codeOf(await proxy.get("/v/y.mpd")), "not_a_playlist");
});

proxyTest("HEAD of an MPD → its type, no length", async (proxy) => {
  proxy.route("/v/m.mpd", text(MPD, "application/octet-stream"));
  const response = await proxy.get("/v/m.mpd", { method: "HEAD" });
  assert.deepEqual([response.status, response.headers.get("content-type")], [200, TYPE]);
  assert.equal(response.headers.get("content-length"), null);
});

proxyTest("MPD opened as a page, a frame or a script → 403", async (proxy) => {
  proxy.route("/v/m.mpd", text(MPD, TYPE));
  for (const destination of ["document", "iframe", "script", "xslt"]) {
    const response = await proxy.get("/v/m.mpd", { headers: { "sec-fetch-dest": destination } });
    assert.deepEqual([response.status, await codeOf(response)], [403, "destination_refused"], destination);
  }
});

proxyTest("redirected MPD → relative URLs resolve against its new URL", async (proxy) => {
  proxy.route("/v/m.mpd", (_request, response) => send(response, 302, { location: "/real/deep/m.mpd" }));
  proxy.route("/real/deep/m.mpd", text(MPD, TYPE));
  const body = await assertRewritten(proxy, await proxy.get("/v/m.mpd"));
  const directory = encodeURIComponent(`${proxy.url}/real/deep/`);
  assert.ok(templates(body)[0]!.endsWith(`&url=${directory}$RepresentationID$%2Fs$Number%03d$.m4s%3Ft%3D%252F`), body);
});

proxyTest("MPD with a DTD, cut, or over 4 MiB → 502 with a code", async (proxy) => {
  const dtd = MPD.replace("<MPD", '<!DOCTYPE MPD [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><MPD');
  for (
    const [body, code] of [
      [dtd, "playlist_malformed"],
      [MPD.slice(0, -20), "playlist_malformed"],
      [MPD.replace("<Period>", `<Period>${"<a/>".repeat(100_001)}`), "playlist_too_large"],
      [MPD + " ".repeat(4 * 1024 * 1024), "too_large"],
    ] as const
  ) {
    proxy.route("/v/m.mpd", text(body, TYPE));
    const response = await proxy.get("/v/m.mpd");
    assert.deepEqual([response.status, await codeOf(response)], [502, code]);
  }
});

proxyTest("MPD's steering manifest → RELOAD-URI is a link", async (proxy) => {
  const manifest = { VERSION: 1, TTL: 300, "RELOAD-URI": "/steer?v=2", "SERVICE-LOCATION-PRIORITY": ["a"] };
  proxy.route("/steer", text(JSON.stringify(manifest), "application/json"));
  const json = await (await proxy.get("/steer")).json();
  assert.equal(new URL(json["RELOAD-URI"]).searchParams.get("url"), `${proxy.url}/steer?v=2`);
});
