/** An archive is rewritten beside its copies: they are served until one transaction replaces all of them. */
import assert from "node:assert/strict";
import { brokenInvariants } from "../model/invariants.ts";
import type { QueueFixture, Scenario } from "../fixture/queue_fixture.ts";
import { archivedWith, copyOn } from "../fixture/replicas.ts";
import { type Arguments, type Row, SHA256 } from "../fixture/rpc.ts";

const NEW_SHA = "ab".repeat(32);
const NEW_KEY = "fedcba9876543210fedcba9876543210";
const MEDIA = { presentation: { form: "hybrid", plain_because: null, duration: 1, segments: 1, tracks: [] } };

const newCopy = (target: string): Row => ({
  target,
  account: 1,
  repo: `user-${target.at(-1)}/media`,
  path: `55825/ep1/${NEW_KEY}.mp4`,
  direct_url: `https://hub.test/${target}.mp4`,
  commit_oid: "c0ffee",
});

/** A video with verified copies on hf-1 and hf-2, and one on hf-3 that is missing. */
async function archived(queue: QueueFixture) {
  const { store, job } = await archivedWith(queue, [
    copyOn("hf-2", { path: "55825/ep1/two.mp4" }),
    copyOn("hf-3", { path: "55825/ep1/three.mp4" }),
  ]);
  await queue.sql`update public.video_replicas set state = 'missing', missing_since = now() where target = 'hf-3'`;
  return { store, job };
}

const copies = [newCopy("hf-1"), newCopy("hf-2")];

const begin = (store: Row, more: Arguments = {}) => ({ store_id: store["id"], sha256: SHA256, copies, ...more });
const finish = (store: Row, more: Arguments = {}) => ({
  ...{ store_id: store["id"], from_sha256: SHA256, file_key: NEW_KEY, sha256: NEW_SHA, size_bytes: 5 },
  ...{ duration_seconds: 2, width: 1280, height: 720, media: MEDIA, copies, ...more },
});

async function replicas(queue: QueueFixture) {
  const rows = await queue.sql`select target, state, path from public.video_replicas order by target`;
  return rows.map((row) => [row["target"], row["state"], row["path"]]);
}

const obsolete = async (queue: QueueFixture) =>
  (await queue
    .sql`select path, run_at > clock_timestamp() + interval '23 hours' as later from keepstream.obsolete_copies
    order by path`).map((row) => [row["path"], row["later"]]);

export const UPGRADES: readonly Scenario[] = [
  {
    name: "upgrade: begun and finished → all copies at once, old ones a day later",
    async run(queue) {
      const { store, job } = await archived(queue);
      const old = await replicas(queue);
      await queue.rpc("begin_archive_upgrade", begin(store));
      await queue.rpc("begin_archive_upgrade", begin(store));
      assert.deepEqual(await replicas(queue), old, "served meanwhile");
      assert.deepEqual((await obsolete(queue)).length, 2, "deleted if it is never finished");
      const [row] = await queue.rpc("finish_archive_upgrade", finish(store));
      assert.deepEqual(
        [
          row!["id"],
          row!["file_key"],
          row!["sha256"],
          row!["size_bytes"],
          row!["hf_path"],
          row!["media"],
          row!["width"],
        ],
        [store["id"], NEW_KEY, NEW_SHA, "5", newCopy("hf-1")["path"], MEDIA, 1280],
      );
      assert.deepEqual(await replicas(queue), [
        ["hf-1", "verified", newCopy("hf-1")["path"]],
        ["hf-2", "verified", newCopy("hf-2")["path"]],
        ["hf-3", "pending", null],
      ]);
      assert.deepEqual((await obsolete(queue)).map(([, later]) => later), [true, true, true]);
      const due = async () => (await queue.rpc("claim_obsolete_copies", { targets: ["hf-1", "hf-2"] })).length;
      assert.equal(await due(), 0);
      await queue.sql`update keepstream.obsolete_copies set run_at = run_at - interval '25 hours'`;
      assert.equal(await due(), 2);
      assert.equal((await queue.events(job.id)).at(-1), "upgraded");
      assert.deepEqual(await brokenInvariants(queue.sql), []);
      const [again] = await queue.rpc("finish_archive_upgrade", finish(store));
      assert.equal(again!["sha256"], NEW_SHA, "the response was lost: repeated");
      assert.equal((await queue.rpc("upgradable_archives", { release: "1" })).length, 0);
    },
  },
  {
    name: "upgrade: what would mix copies, or was replaced → refused, unchanged",
    async run(queue) {
      const { store } = await archived(queue);
      const old = await replicas(queue);
      const refusal = (more: Arguments) => queue.refusal("finish_archive_upgrade", finish(store, more));
      assert.equal(await refusal({}), "PT409", "not begun");
      await queue.rpc("begin_archive_upgrade", begin(store));
      assert.equal(await refusal({ copies: copies.slice(0, 1) }), "PT409", "a verified copy would stay old");
      assert.equal(await refusal({ copies: [...copies, newCopy("hf-9")] }), "PT409");
      assert.equal(await refusal({ copies: [] }), "PT422");
      assert.equal(await refusal({ copies: null }), "PT422");
      assert.equal(await refusal({ from_sha256: NEW_SHA, sha256: SHA256 }), "PT409");
      assert.equal(await refusal({ file_key: store["file_key"] }), "PT422", "other bytes under the same name");
      assert.equal(await refusal({ sha256: SHA256 }), "PT422", "the same bytes under another name");
      assert.equal(await refusal({ store_id: crypto.randomUUID() }), "PT404");
      assert.equal(await queue.refusal("begin_archive_upgrade", begin(store, { sha256: NEW_SHA })), "PT409");
      const [repair] = await queue.rpc("claim_replica_repairs", { limit: 1 });
      assert.equal(await refusal({}), "PT409", "a repair copies the old file");
      await queue.rpc("complete_replica", { id: repair!["id"], lease_token: repair!["lease_token"], state: "pending" });
      assert.deepEqual((await replicas(queue)).slice(0, 2), old.slice(0, 2));
      await queue.sql`update public.video_queue set status = 'pending' where status = 'ready'`;
      await queue.claimOne();
      assert.equal(await refusal({}), "PT409", "archived again");
      await queue.rpc("takedown", { mal_id: 55825 });
      assert.equal(await refusal({}), "PT404");
      assert.equal(await queue.refusal("begin_archive_upgrade", begin(store)), "PT404");
      assert.deepEqual(await obsolete(queue), [], "the takedown deletes the new copies, too");
    },
  },
  {
    name: "upgrade: it stays plain → described, its commits change, tried once",
    async run(queue) {
      const { store } = await archived(queue);
      const [plain] = await queue.rpc<{ copies: Row[]; sha256: string }>("upgradable_archives", { release: "1" });
      assert.deepEqual([plain!.sha256, plain!.copies.map(({ state }) => state).sort()], [SHA256, [
        "missing",
        "verified",
        "verified",
      ]]);
      const first = plain!.copies.find(({ target }) => target === "hf-1");
      const same = [
        { ...newCopy("hf-1"), repo: first!["repo"], path: first!["path"] },
        { ...newCopy("hf-2"), path: "55825/ep1/two.mp4" },
      ];
      const media = { presentation: { form: "plain", plain_because: "several edits" } };
      const args = { file_key: store["file_key"], sha256: SHA256, size_bytes: 4, copies: same, media, release: "1" };
      await queue.rpc("finish_archive_upgrade", finish(store, args));
      assert.deepEqual((await replicas(queue)).map(([, state]) => state), ["verified", "verified", "missing"]);
      assert.deepEqual(await obsolete(queue), []);
      const listed = async (release: string, more: Arguments = {}) =>
        (await queue.rpc("upgradable_archives", { release, ...more })).length;
      assert.deepEqual([await listed("1"), await listed("2")], [0, 1]);
      assert.deepEqual([await listed("2", { target: "hf-3" }), await listed("2", { target: "hf-2" })], [0, 1]);
      assert.deepEqual([await listed("2", { after: store["id"] }), await listed("2", { limit: 0 })], [0, 0]);
    },
  },
  {
    name: "sidecars: reported lacking → claimed once an hour, until completed",
    async run(queue) {
      await archived(queue);
      const [copy] = await queue.sql`select id, direct_url from public.video_replicas where target = 'hf-1'`;
      const claim = () => queue.rpc<Row>("claim_sidecar_repairs", { targets: ["hf-1", "hf-3"] });
      const later = () =>
        queue.sql`update public.video_replicas set sidecars_due = sidecars_due - interval '61 minutes'`;
      assert.equal((await claim()).length, 0);
      await queue.rpc("report_sidecars_lacking", { replica_id: copy!["id"], error: "no .m3u8, hf_SecretToken99" });
      const [missing] = await queue.sql`select id from public.video_replicas where target = 'hf-3'`;
      await queue.rpc("report_sidecars_lacking", { replica_id: missing!["id"] });
      const [claimed, ...rest] = await claim();
      assert.deepEqual([claimed!["id"], rest.length], [copy!["id"], 0], "only a verified copy");
      assert.deepEqual((claimed!["sources"] as Row[]).map(({ target }) => target), ["hf-2", "hf-1"]);
      assert.equal((await claim()).length, 0);
      await later();
      assert.equal((await claim()).length, 1, "it was not completed");
      const done = {
        replica_id: copy!["id"],
        sha256: SHA256,
        commit_oid: "beef",
        direct_url: "https://hub.test/beef.mp4",
      };
      const complete = async (more: Arguments = {}) =>
        (await queue.rpc("complete_sidecar_repair", { ...done, ...more }))[0]!["complete_sidecar_repair"];
      assert.equal(await complete({ sha256: NEW_SHA }), false, "another archive meanwhile");
      assert.equal(await complete({ replica_id: crypto.randomUUID() }), false);
      assert.equal(await complete(), true);
      const [row] = await queue.sql`select r.commit_oid, r.error_message, s.hf_direct_url from public.video_replicas r
        join public.video_store s on s.id = r.store_id where r.target = 'hf-1'`;
      assert.deepEqual({ ...row }, { commit_oid: "beef", error_message: null, hf_direct_url: done.direct_url });
      await later();
      assert.equal((await claim()).length, 0);
    },
  },
  {
    name: "describe_source: by provider, or by the catalogue's entry",
    async run(queue) {
      await queue.sql`insert into public.providers (name, recipe, rights) values ('own', 'catalogue', 'all of it')`;
      await queue.sql`insert into public.catalogue (mal_id, episode, title, sources, rights)
        values (1, 1, 'Pilot', '[{"url":"https://videos.test/1.mp4"}]', 'own work')`;
      const describe = async (provider: string, episode: number) =>
        (await queue.rpc("describe_source", { mal_id: 1, episode, provider }))[0]!["describe_source"];
      assert.deepEqual(await describe("own", 1), { rights: "own work", title: "Pilot" });
      assert.deepEqual(await describe("own", 2), { rights: null, title: null });
      assert.deepEqual(await describe("unknown", 2), { rights: null, title: null });
    },
  },
];
