/** The emulated host that serves and misserves media: the result of probe and download for each of its items. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readClip } from "../../dev/emulators/origin/clip.ts";
import { startFetchFixture } from "../../dev/testing/fetch_fixture.ts";
import { S11_FILES, S11_PLAYLISTS, s11Host } from "../../dev/testing/misbehaving_media_host.ts";

const host = await s11Host(await readClip());

const WHOLE = {
  "206, 200, 416": S11_FILES.range,
  "HEAD refused": S11_FILES.noHead,
  "no length": S11_FILES.noLength,
  "slow drip": S11_FILES.drip,
  "HLS with KEY": S11_PLAYLISTS.key,
  "HLS with MAP": S11_PLAYLISTS.map,
  "HLS with MEDIA": S11_PLAYLISTS.media,
  "HLS with BYTERANGE": S11_PLAYLISTS.byteRange,
  "HLS with query tokens": S11_PLAYLISTS.query,
  "HLS with %25 in the path": S11_PLAYLISTS.percent,
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
  "cut at 50 %": [S11_FILES.cut, "network"],
  "HTML saying 200": [S11_FILES.html, "unsupported"],
  "redirect to a private address": [S11_FILES.toPrivate, "policy_denied"],
  "loop": [S11_FILES.loop, "unsupported"],
  "HLS without ENDLIST": [S11_PLAYLISTS.noEnd, "unsupported"],
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
