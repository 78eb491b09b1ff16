import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { archiveLocation, archiveUrl, parseArchiveUrl } from "./archive_location.ts";
import { fileKey } from "./file_key.ts";

Deno.test("fileKey: no resolution → 'unknown' in the documented hash", async () => {
  const input = { salt: "salt", malId: 55825, episode: 1, provider: "animasu", resolution: "720p" };
  const hash = (text: string) => createHash("sha256").update(text).digest("hex").slice(0, 32);
  assert.equal(await fileKey(input), hash("salt:55825:1:animasu:720p"));
  assert.equal(await fileKey({ ...input, resolution: null }), hash("salt:55825:1:animasu:unknown"));
});

Deno.test("archiveLocation: Hub URL → parsed to its owner", () => {
  const location = archiveLocation({ username: "ana", prefix: "anime", malId: 5, episode: 2, fileKey: "ab" });
  assert.deepEqual(location, { repo: "ana/anime-5", path: "5/ep2/ab.mp4" });
  const url = archiveUrl("https://hub.test/", location);
  assert.equal(url, "https://hub.test/datasets/ana/anime-5/resolve/main/5/ep2/ab.mp4");
  const file = { owner: "ana", name: "anime-5", rest: "/resolve/main/5/ep2/ab.mp4" };
  assert.deepEqual(parseArchiveUrl(new URL(url), "https://hub.test"), file);
  assert.equal(parseArchiveUrl(new URL(url), "https://other.test"), null);
});
