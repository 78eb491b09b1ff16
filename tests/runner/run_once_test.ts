/** `run-once` for operators and cron: exit codes, and bars in a terminal. */
import assert from "node:assert/strict";
import { type RunnerFixture, startRunnerFixture } from "../../dev/testing/runner_fixture.ts";

const RUNNER = new URL("../../runner/main.ts", import.meta.url).pathname;

const video = (fixture: RunnerFixture) => fixture.videoOf("mp4");

Deno.test("run-once: empty queue → 0; a video fails → 2, others are archived", async () => {
  await using fixture = await startRunnerFixture({ accounts: 1 });
  assert.equal((await fixture.spawn("empty", { args: ["run-once"] }).ended).code, 0);
  const good = await fixture.enqueue(await video(fixture));
  const page = `${fixture.origin.url}/health?x=.mp4`;
  await fixture.enqueue({ ...await video(fixture), episode: 2, embed_url: null, video_url: page, kind: "mp4" });
  const runner = fixture.spawn("once", { args: ["run-once"] });
  assert.equal((await runner.ended).code, 2, runner.lines.join("\n"));
  assert.equal((await fixture.job(good)).status, "ready");
});

Deno.test("run-once: the first URL fails, the next one works → 0", async () => {
  await using fixture = await startRunnerFixture({ accounts: 1 });
  await fixture.enqueue({
    ...await video(fixture),
    embed_url: null,
    video_url: `${fixture.origin.url}/health?x=.mp4`,
    kind: "mp4",
  });
  await fixture.enqueue(await video(fixture));
  const runner = fixture.spawn("once", { args: ["run-once"] });
  assert.equal((await runner.ended).code, 0, runner.lines.join("\n"));
});

Deno.test("run-once: no queue → 1 with the reason; interrupted → 130, released", async () => {
  await using fixture = await startRunnerFixture({
    accounts: 1,
    line: { connectMs: 0, latencyMs: 5, bytesPerSecond: 60_000 },
  });
  const away = fixture.spawn("away", { args: ["run-once"], env: { SUPABASE_URL: "http://127.0.0.1:1" } });
  assert.equal((await away.ended).code, 1);
  assert.match(away.lines.join("\n"), /queue:unavailable[^]*claim_pending_videos/);
  const id = await fixture.enqueue(await video(fixture));
  const runner = fixture.spawn("once", { args: ["run-once"] });
  await fixture.until(id, (row) => Number(row.progress?.bytes_done ?? 0) > 0);
  runner.child.kill("SIGINT");
  assert.equal((await runner.ended).code, 130);
  assert.deepEqual([(await fixture.job(id)).status, (await fixture.job(id)).attempts], ["pending", 0]);
});

Deno.test("run-once in a terminal: a bar, a line per outcome, no JSON, a cursor", async () => {
  await using fixture = await startRunnerFixture({
    accounts: 1,
    line: { connectMs: 0, latencyMs: 5, bytesPerSecond: 500_000 },
  });
  await fixture.enqueue(await video(fixture));
  const command = `${Deno.execPath()} run --quiet -A ${RUNNER} run-once`;
  const terminal = await new Deno.Command("script", { args: ["--version"] }).output().catch(() => null);
  if (terminal === null) return console.log("skipped: `script` is not installed");
  const output = await new Deno.Command("script", {
    args: Deno.build.os === "darwin" ? ["-q", "/dev/null", "sh", "-c", command] : ["-qec", command, "/dev/null"],
    env: { ...fixture.env, TERM: "xterm" },
    stdin: "null",
  }).output();
  const text = new TextDecoder().decode(output.stdout);
  assert.equal(output.code, 0, text);
  const percents = [...text.matchAll(/ (\d+) % downloading/g)].map((match) => Number(match[1]));
  assert.ok(percents.some((percent) => percent > 5 && percent < 100), text);
  assert.match(text, /catalogue 1\/1 720p [^\n]*[█░]/);
  assert.match(text, /catalogue 1\/1 720p: archived, 1 copy, [\d.]+ s/);
  assert.doesNotMatch(text, /"event":/);
  assert.ok(text.lastIndexOf("\u001b[?25h") > text.lastIndexOf("\u001b[?25l"), "the cursor is shown again");
});
