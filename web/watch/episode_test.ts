import assert from "node:assert/strict";
import { playable, readEpisode } from "./episode.ts";

const LINK = "https://worker.test/proxy?url=https%3A%2F%2Fcdn.test%2Fa.mp4";

Deno.test("episode: a provider's playlist first; servers without a link left out", async () => {
  const body = {
    success: true,
    data: {
      own: [{ provider: "720p", stream: LINK, hls: `${LINK}.m3u8`, archived: true, poster: "https://worker.test/p" }],
      live: [{ provider: "Gone", stream: null }, { provider: "Script", stream: "javascript:alert(1)" }],
      none: null,
    },
    providers: { own: { master: "https://worker.test/m" }, live: { master: null } },
  };
  const url = `data:application/json,${encodeURIComponent(JSON.stringify(body))}`;
  assert.deepEqual((await readEpisode(url)).map((one) => [one.label, one.url, one.isHls, one.archived, one.poster]), [
    ["own · every quality", "https://worker.test/m", true, true, "https://worker.test/p"],
    ["720p", `${LINK}.m3u8`, true, true, "https://worker.test/p"],
  ]);
  const failed = `data:application/json,${encodeURIComponent('{"success":false,"error":"taken down"}')}`;
  await assert.rejects(readEpisode(failed), /taken down/);
});

Deno.test("episode: plain file → its subtitles; HLS by kind or name → none", () => {
  const subtitles = [{ url: "https://worker.test/s.vtt", language: "en" }];
  const server = { provider: "720p", stream: LINK, subtitles };
  assert.deepEqual(playable(server).map((one) => [one.isHls, one.subtitles.length]), [[false, 1]]);
  assert.deepEqual(playable({ ...server, kind: "hls" }).map((one) => [one.isHls, one.subtitles.length]), [[true, 0]]);
  assert.equal(playable({ ...server, stream: `${LINK.slice(0, -4)}.m3u8` })[0]!.isHls, true);
});
