// The cost of reading a playlist is linear in its length, also for hostile ones. Measured in steps, not in time.
import assert from "node:assert/strict";
import { countSteps } from "../../dev/testing/count_steps.ts";
import { HOSTILE_PLAYLISTS } from "../../dev/testing/hostile_playlists.ts";
import { PLAYLIST_READERS } from "../../dev/testing/playlist_readers.ts";

const KIB = 1024;

for (const [reader, read] of Object.entries(PLAYLIST_READERS)) {
  Deno.test(`hostile playlists, ${reader}: four times the length → five times the steps`, async (t) => {
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
