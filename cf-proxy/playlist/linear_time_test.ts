// No playlist costs more than its length: everything that reads one, on shapes that are made to be slow. Steps, not time.
import assert from "node:assert/strict";
import { parsePlaylist } from "../../core/hls/playlist.ts";
import { rewritePlaylist } from "../../core/hls/rewrite.ts";
import { countSteps } from "../../dev/testing/count_steps.ts";
import { HOSTILE_PLAYLISTS } from "../../dev/testing/hostile_playlists.ts";
import { listMark } from "../failover/playlist_fingerprint.ts";

const BASE = new URL("https://cdn.test/v/1/m.m3u8");
const TAIL = "exp=4000000000&sc=2&sig=k1.AAAAAAAAAAAAAAAAAAAAAA";
const KIB = 1024;

const rewriting = (scope: string | null) => (text: string) =>
  rewritePlaylist(text, {
    base: BASE,
    proxyUrl: "https://worker.test/proxy",
    policy: { ownHosts: ["worker.test"] },
    parent: { scope, tail: TAIL },
    sign: () => Promise.resolve(TAIL),
  });

const READERS: Readonly<Record<string, (text: string) => unknown>> = {
  "rewritten in its scope": rewriting("https://cdn.test/v/1/"),
  "rewritten, nothing in scope": rewriting(null),
  "parsed": (text) => parsePlaylist(text, BASE),
  "marked": listMark,
};

for (const [reader, read] of Object.entries(READERS)) {
  Deno.test(`hostile playlists ${reader}: four times the length → at most five times the steps`, async (t) => {
    for (const [name, shape] of Object.entries(HOSTILE_PLAYLISTS)) {
      await t.step(name, async () => {
        const [small, large] = [shape(64 * KIB), shape(256 * KIB)];
        const steps = await countSteps(() => read(small));
        const more = await countSteps(() => read(large));
        assert.ok(more <= 5 * Math.max(steps, small.length), `${more} steps for 256 KiB, ${steps} for 64 KiB`);
        assert.ok(more <= 40 * large.length, `${(more / large.length).toFixed(1)} steps per character`);
      });
    }
  });
}
