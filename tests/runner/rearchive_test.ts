/** Archiving a video again, with real runners and a hub: the old archive stays until the new one is committed. */
import assert from "node:assert/strict";
import { type RunnerFixture, startRunnerFixture } from "../../dev/testing/runner_fixture.ts";
import { filesOnHub } from "./chaos/checks.ts";
import { startFaultProxy, type Verdict } from "./fault_proxy.ts";
import { startMediaHost } from "./media_host.ts";

const VIDEO = { mal_id: 1, episode: 1, provider: "catalogue", resolution: "360p" };

const archives = (fixture: RunnerFixture) =>
  fixture.database.sql`
    select s.file_key, s.sha256, r.path from public.video_store s join public.video_replicas r on r.store_id = s.id
    where r.state = 'verified'`;

/** Archives the first video, then the second in its place. */
async function archiveAgain(
  fixture: RunnerFixture,
  media: { video: (n: number) => Record<string, unknown> },
): Promise<string> {
  const id = await fixture.enqueue({ ...media.video(0), ...VIDEO });
  assert.equal((await fixture.spawn("first", { args: ["run-once"] }).ended).code, 0);
  assert.equal((await fixture.job(id)).status, "ready");
  await fixture.enqueue({ ...media.video(2), ...VIDEO });
  await fixture.database.sql`update public.video_candidates set state = 'dead' where rank = 0`;
  await fixture.database.sql`update public.video_queue set status = 'pending' where id = ${id}`;
  return id;
}

Deno.test("re-archive: another file name → the old file is served until replaced", async () => {
  await using media = await startMediaHost({ seconds: 0.3 });
  await using fixture = await startRunnerFixture({
    accounts: 1,
    env: { DEV_ALLOWED_ORIGINS: media.url, RUNNER_EXTRAS: "off" },
  });
  const id = await archiveAgain(fixture, media);
  const [old] = await archives(fixture);
  assert.equal((await filesOnHub(fixture)).length, 1);
  const env = { HF_FILE_SALT: "another-salt" };
  fixture.hub.fail("abuse", { times: 1000 });
  await fixture.spawn("refused", { args: ["run-once"], env }).ended;
  const failed = await fixture.job(id);
  assert.equal(failed.status, "failed");
  assert.match(failed.error_message!, /^the old archive stays: /);
  assert.deepEqual([...await archives(fixture)], [old]);

  fixture.hub.clearFailures();
  await fixture.database.sql`update public.video_queue set status = 'pending', retry_count = 0 where status = 'failed'`;
  assert.equal((await fixture.spawn("second", { args: ["run-once"], env }).ended).code, 0);
  const [renewed, ...more] = await archives(fixture);
  assert.equal(more.length, 0);
  assert.notEqual(renewed!["sha256"], old!["sha256"]);
  assert.notEqual(renewed!["path"], old!["path"]);
  assert.equal((await filesOnHub(fixture)).length, 2);
  fixture.spawn("keeper", { env });
  for (const end = Date.now() + 60_000; (await filesOnHub(fixture)).length > 1;) {
    assert.ok(Date.now() < end, "the old file is still there");
    await new Promise((next) => setTimeout(next, 100));
  }
  assert.match((await filesOnHub(fixture))[0]!, new RegExp(`${renewed!["path"]}$`));
});

Deno.test("re-archive: rights withdrawn during the commit → the old files stay", async () => {
  await using media = await startMediaHost({ seconds: 0.3 });
  await using fixture = await startRunnerFixture({
    accounts: 1,
    env: { DEV_ALLOWED_ORIGINS: media.url, RUNNER_EXTRAS: "off" },
  });
  const id = await archiveAgain(fixture, media);
  const before = await filesOnHub(fixture);
  await using proxy = startFaultProxy({
    upstream: fixture.hub.url,
    rewrite: (text: string): string => text.replaceAll(fixture.hub.url, proxy.url),
    nameOf: (_: unknown, path: string) => path.includes("/commit/") ? "commit" : "other",
    async strike({ name, when }: { name: string; when: string }): Promise<Verdict> {
      if (name !== "commit" || when !== "after") return "pass";
      await fixture.database.serviceRole`update public.providers set rights = null where true`;
      return "pass";
    },
  });
  const runner = fixture.spawn("r1", { env: { HF_ENDPOINT: proxy.url } });
  await runner.saw("job:failed");
  const row = await fixture.job(id);
  assert.deepEqual([row.status, row.error_class], ["failed", "policy_denied"]);
  assert.match(row.error_message!, /^the old archive stays: /);
  assert.deepEqual(await filesOnHub(fixture), before);
  assert.equal((await archives(fixture)).length, 1);
});
