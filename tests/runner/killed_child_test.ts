/** A child that the kernel kills, for example when memory runs out: the video is not refused, and archived in the end. */
import assert from "node:assert/strict";
import type { Line } from "../../dev/emulators/origin/origin.ts";
import { startRunnerFixture } from "../../dev/testing/runner_fixture.ts";

const SLOW: Line = { connectMs: 0, latencyMs: 5, bytesPerSecond: 120_000 };

for (const [program, name] of [["ffmpeg", "hls"], ["aria2c", "mp4"]] as const) {
  Deno.test(`kill -9 of ${program} → not unsupported, archived after a retry`, async () => {
    await using fixture = await startRunnerFixture({ line: SLOW, accounts: 1 });
    const id = await fixture.enqueue(await fixture.videoOf(name));
    const runner = fixture.spawn();
    await fixture.until(id, (row) => Number(row.progress?.bytes_done ?? 0) > 0);
    let pid = 0;
    while (pid === 0) {
      const found = await new Deno.Command("pgrep", { args: ["-P", `${runner.child.pid}`, "-x", program] }).output();
      pid = Number(new TextDecoder().decode(found.stdout));
      assert.equal((await fixture.job(id)).status, "downloading", `${program} was not seen`);
    }
    Deno.kill(pid, "SIGKILL");
    if (program === "ffmpeg") { // aria2c is started again in the same job
      const row = await fixture.until(id, (row) => row.error_class !== null);
      assert.deepEqual([row.status, row.error_class, row.terminal_at], ["failed", "unknown", null]);
      assert.match(row.error_message!, /ffmpeg was killed by SIGKILL/);
      await fixture.database.sql`update public.video_queue set run_at = now() where id = ${id}`;
    }
    const row = await fixture.until(id, (row) => row.status === "ready" || row.terminal_at !== null);
    assert.equal(row.status, "ready", runner.lines.join("\n"));
    assert.ok(!runner.lines.some((line) => line.includes("unsupported")));
  });
}
