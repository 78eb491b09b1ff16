/** A video that is archived again, with real runners and a hub: what is there stays until the new archive is recorded. */
import assert from "node:assert/strict";
import { type RunnerRig, startRunnerRig } from "../../dev/testing/runner_fixture.ts";
import { filesOnHub } from "./chaos/checks.ts";
import { startFront, type Verdict } from "./fault_proxy.ts";
import { startMediaHost } from "./media_host.ts";

const VIDEO = { mal_id: 1, episode: 1, provider: "catalogue", resolution: "360p" };

const archives = (rig: RunnerRig) =>
  rig.database.sql`
    select s.file_key, s.sha256, r.path from public.video_store s join public.video_replicas r on r.store_id = s.id
    where r.state = 'verified'`;

/** Archives the first video and has the second archived in its place. */
async function archiveAgain(rig: RunnerRig, media: { video: (n: number) => Record<string, unknown> }): Promise<string> {
  const id = await rig.enqueue({ ...media.video(0), ...VIDEO });
  assert.equal((await rig.spawn("first", { args: ["run-once"] }).ended).code, 0);
  assert.equal((await rig.job(id)).status, "ready");
  await rig.enqueue({ ...media.video(2), ...VIDEO });
  await rig.database.sql`update public.video_candidates set state = 'dead' where rank = 0`;
  await rig.database.sql`update public.video_queue set status = 'pending' where id = ${id}`;
  return id;
}

Deno.test("re-archive under another file name → the old file is served until then, and removed after", async () => {
  await using media = await startMediaHost({ seconds: 0.3 });
  await using rig = await startRunnerRig({
    accounts: 1,
    env: { DEV_ALLOWED_ORIGINS: media.url, RUNNER_EXTRAS: "off" },
  });
  const id = await archiveAgain(rig, media);
  const [old] = await archives(rig);
  assert.equal((await filesOnHub(rig)).length, 1);
  const env = { HF_FILE_SALT: "another-salt" };
  rig.hub.fail("abuse", { times: 1000 });
  await rig.spawn("refused", { args: ["run-once"], env }).ended;
  const failed = await rig.job(id);
  assert.equal(failed.status, "failed");
  assert.match(failed.error_message!, /^the old archive stays: /);
  assert.deepEqual([...await archives(rig)], [old]);

  rig.hub.clearFailures();
  await rig.database.sql`update public.video_queue set status = 'pending', retry_count = 0 where status = 'failed'`;
  assert.equal((await rig.spawn("second", { args: ["run-once"], env }).ended).code, 0);
  const [renewed, ...more] = await archives(rig);
  assert.equal(more.length, 0);
  assert.notEqual(renewed!["sha256"], old!["sha256"]);
  assert.notEqual(renewed!["path"], old!["path"]);
  assert.equal((await filesOnHub(rig)).length, 2);
  rig.spawn("keeper", { env });
  for (const end = Date.now() + 60_000; (await filesOnHub(rig)).length > 1;) {
    assert.ok(Date.now() < end, "the old file is still there");
    await new Promise((next) => setTimeout(next, 100));
  }
  assert.match((await filesOnHub(rig))[0]!, new RegExp(`${renewed!["path"]}$`));
});

Deno.test("re-archive: the right goes while its copy is committed → the archive's files stay", async () => {
  await using media = await startMediaHost({ seconds: 0.3 });
  await using rig = await startRunnerRig({
    accounts: 1,
    env: { DEV_ALLOWED_ORIGINS: media.url, RUNNER_EXTRAS: "off" },
  });
  const id = await archiveAgain(rig, media);
  const before = await filesOnHub(rig);
  await using front = startFront({
    upstream: rig.hub.url,
    rewrite: (text: string): string => text.replaceAll(rig.hub.url, front.url),
    nameOf: (_: unknown, path: string) => path.includes("/commit/") ? "commit" : "other",
    async strike({ name, when }: { name: string; when: string }): Promise<Verdict> {
      if (name !== "commit" || when !== "after") return "pass";
      await rig.database.serviceRole`update public.providers set rights = null where true`;
      return "pass";
    },
  });
  const runner = rig.spawn("r1", { env: { HF_ENDPOINT: front.url } });
  await runner.saw("job:failed");
  const row = await rig.job(id);
  assert.deepEqual([row.status, row.error_class], ["failed", "policy_denied"]);
  assert.match(row.error_message!, /^the old archive stays: /);
  assert.deepEqual(await filesOnHub(rig), before);
  assert.equal((await archives(rig)).length, 1);
});
