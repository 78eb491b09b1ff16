// Subtitles of a source, in workerd.
import assert from "node:assert/strict";
import { codeOf, proxyTest, send, text } from "../../dev/testing/proxy_fixture.ts";

const SRT = "1\n00:00:01,000 --> 00:00:02,000\nHi\n";
const VTT = "WEBVTT\n\n1\n00:00:01.000 --> 00:00:02.000\nHi\n";
const sign = { context: { subtitles: true as const, headers: { referer: "https://embed.test/" } } };

proxyTest("subtitles: SubRip → WebVTT with CORS; WebVTT and ASS unchanged", async (proxy) => {
  const ass = "[Script Info]\nTitle: x\n";
  const cases = [["/a.srt", SRT, "text/plain"], ["/b", SRT, ""], ["/c.vtt", VTT, "application/octet-stream"]] as const;
  for (const [path, body, type] of cases) {
    proxy.route(path, text(body, type));
    const response = await proxy.get(path, { sign, headers: { range: "bytes=0-3", "sec-fetch-dest": "track" } });
    assert.equal(response.status, 200);
    assert.equal(response.headers.get("content-type"), "text/vtt; charset=utf-8");
    assert.equal(response.headers.get("access-control-allow-origin"), "*");
    assert.equal(await response.text(), VTT);
    const head = await proxy.get(path, { sign, method: "HEAD" });
    assert.deepEqual([head.status, head.headers.get("content-type")], [200, "text/vtt; charset=utf-8"]);
  }
  assert.ok(proxy.seen.every(({ headers }) => headers.get("range") === null && headers.get("referer") !== null));
  proxy.route("/d.ass", text(ass, ""));
  const other = await proxy.get("/d.ass", { sign });
  assert.deepEqual([other.headers.get("content-type"), await other.text()], ["text/x-ssa", ass]);
});

proxyTest("subtitles: a page, an error, 3 MB → refused; a link to none → a file", async (proxy) => {
  proxy.route("/page.vtt", text("<html>", "text/html"));
  proxy.route("/gone.vtt", text("no", "text/plain", 404));
  proxy.route("/large.vtt", (_request, response) => send(response, 200, {}, "WEBVTT\n".padEnd(3_000_000)));
  proxy.route("/plain.srt", text(SRT, ""));
  const page = await proxy.get("/page.vtt", { sign });
  assert.deepEqual([page.status, await codeOf(page)], [502, "not_media"]);
  const gone = await proxy.get("/gone.vtt", { sign });
  await gone.body?.cancel();
  assert.equal(gone.status, 404);
  const large = await proxy.get("/large.vtt", { sign });
  assert.deepEqual([large.status, await codeOf(large)], [502, "too_large"]);
  assert.equal(await (await proxy.get("/plain.srt")).text(), SRT);
});
