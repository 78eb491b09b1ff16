/** The emulated host that serves and misserves media: the result of probe and download for each of its items. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readClip } from "../../dev/emulators/origin/clip.ts";
import { startFetchFixture } from "../../dev/testing/fetch_fixture.ts";
import { MEDIA_FILES, MEDIA_PLAYLISTS, misbehavingMediaHost } from "../../dev/testing/misbehaving_media_host.ts";

const host = await misbehavingMediaHost(await readClip());

const WHOLE = {
  "206, 200, 416": MEDIA_FILES.range,
  "HEAD refused": MEDIA_FILES.noHead,
  "no length": MEDIA_FILES.noLength,
  "slow drip": MEDIA_FILES.drip,
  "HLS with KEY": MEDIA_PLAYLISTS.key,
  "HLS with MAP": MEDIA_PLAYLISTS.map,
  "HLS with MEDIA": MEDIA_PLAYLISTS.media,
  "HLS with BYTERANGE": MEDIA_PLAYLISTS.byteRange,
  "HLS with query tokens": MEDIA_PLAYLISTS.query,
  "HLS with %25 in the path": MEDIA_PLAYLISTS.percent,
} as const;

for (const [what, path] of Object.entries(WHOLE)) {
  Deno.test(`misbehaving host: ${what} (${path}) → complete, hashed`, async () => {
    await using fixture = await startFetchFixture(host);
    const { durationSeconds, final } = await fixture.fetch(path);
    assert.ok(Math.abs(durationSeconds - 12) < 0.2, `${durationSeconds} s`);
    assert.equal(createHash("sha256").update(await Deno.readFile(final.path)).digest("hex"), final.sha256);
  });
}

const REFUSED = {
  "cut at 50 %": [MEDIA_FILES.cut, "network"],
  "HTML saying 200": [MEDIA_FILES.html, "unsupported"],
  "redirect to a private address": [MEDIA_FILES.toPrivate, "policy_denied"],
  "loop": [MEDIA_FILES.loop, "unsupported"],
  "HLS without ENDLIST": [MEDIA_PLAYLISTS.noEnd, "unsupported"],
} as const;

for (const [what, [path, code]] of Object.entries(REFUSED)) {
  Deno.test(`misbehaving host: ${what} (${path}) → ${code}, no file`, async () => {
    await using fixture = await startFetchFixture(host);
    await assert.rejects(fixture.fetch(path), (error) => {
      assert.equal((error as { code?: string }).code, code, String(error));
      return true;
    });
  });
}
