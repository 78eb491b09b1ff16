/**
 * A takedown, or a withdrawal of the archiving rights, during a commit: nothing of the title stays on the hub.
 */
import assert from "node:assert/strict";
import { type RunnerFixture, startRunnerFixture } from "../../dev/testing/runner_fixture.ts";
import { filesOnHub } from "./chaos/checks.ts";
import { type FaultProxy, startFaultProxy, type Verdict } from "./fault_proxy.ts";
import { startMediaHost } from "./media_host.ts";

/** The n-th commit succeeds; its response is sent after this has finished. */
async function duringCommit(
  n: number,
  act: (fixture: RunnerFixture) => PromiseLike<unknown>,
  until: "job:taken_down" | "job:failed",
) {
  await using media = await startMediaHost({ seconds: 0.3 });
  await using fixture = await startRunnerFixture({ accounts: 2 });
  let commits = 0;
  let left = "";
  await using proxy: FaultProxy = startFaultProxy({
    upstream: fixture.hub.url,
    rewrite: (text) => text.replaceAll(fixture.hub.url, proxy.url),
    nameOf: (_, path) => path.includes("/commit/") ? "commit" : "other",
    async strike({ name, when }): Promise<Verdict> {
      if (name !== "commit" || when !== "after" || ++commits !== n) return "pass";
      left = (await filesOnHub(fixture)).join();
      await act(fixture);
      return "pass";
    },
  });
  const runner = fixture.spawn("r1", { env: { HF_ENDPOINT: proxy.url, DEV_ALLOWED_ORIGINS: media.url } });
  await fixture.enqueue({ mal_id: 1, episode: 1, provider: "catalogue", ...media.video(0) });
  const event = await runner.saw(until);
  const [row] = await fixture.database.sql`select status, error_class, terminal_at from public.video_queue`;
  return { seen: left, event, row, files: await filesOnHub(fixture, /./), lines: runner.lines };
}

for (const [what, n] of [["the first copy", 1], ["the second copy", 2]] as const) {
  Deno.test(`takedown: ${what} is being committed → everything is removed`, async () => {
    const { seen, event, files, lines } = await duringCommit(
      n,
      (fixture) => fixture.database.serviceRole`select public.takedown(1, 1)`,
      "job:taken_down",
    );
    assert.match(seen, /ep1\/.*\.mp4/, "it was committed");
    assert.deepEqual(event.left, []);
    assert.deepEqual(files, [], lines.join("\n"));
  });
}

Deno.test("rights withdrawn during the first commit → removed, dead letter", async () => {
  const { seen, row, files, lines } = await duringCommit(
    1,
    (fixture) => fixture.database.serviceRole`update public.providers set rights = null, recipe = 'page' where true`,
    "job:failed",
  );
  assert.match(seen, /ep1\/.*\.mp4/, "it was committed");
  assert.deepEqual([row!["status"], row!["error_class"], row!["terminal_at"] !== null], [
    "failed",
    "policy_denied",
    true,
  ]);
  assert.deepEqual(files, [], lines.join("\n"));
  const withdrawn = lines.map((line) => JSON.parse(line)).find((line) => line.event === "job:withdrawn");
  assert.deepEqual(withdrawn?.left, []);
});
