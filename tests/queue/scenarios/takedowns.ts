/** A takedown removes a title or episode and refuses it until lifted. */
import assert from "node:assert/strict";
import type { Scenario } from "../fixture/queue_fixture.ts";
import { archivedWith, copyOn } from "../fixture/replicas.ts";
import { archiveOf, outcome, type Row } from "../fixture/rpc.ts";

export const TAKEDOWNS: readonly Scenario[] = [
  {
    name: "takedown: targets and copies → remembered until finished or lifted",
    async run(queue) {
      await archivedWith(queue, [copyOn("hf-2")]);
      const down = async (episode: number | null, targets: string[] = []) =>
        (await queue.rpc<{ takedown: Row }>("takedown", { mal_id: 55825, episode, targets }))[0]!.takedown;
      const [{ episode } = {}] = await queue.sql`select episode from public.video_queue`;
      const first = await down(episode as number, ["hf-1", "hf-3"]);
      assert.deepEqual(first["targets"], ["hf-1", "hf-2", "hf-3"]);
      assert.deepEqual((first["copies"] as Row[]).map((one) => one["target"]).sort(), ["hf-1", "hf-2"]);
      await queue.rpc("finish_takedown", { mal_id: 55825, episode, target: "hf-1" });
      const again = await down(episode as number);
      assert.deepEqual([again["jobs"], again["targets"]], [0, ["hf-2", "hf-3"]]);
      assert.deepEqual((again["copies"] as Row[]).map((one) => [one["target"], one["repo"]]), [[
        "hf-2",
        "user-2/media",
      ]]);
      assert.deepEqual(
        (await down(null, ["hf-4"]))["targets"],
        ["hf-2", "hf-3", "hf-4"],
        "the title includes its episodes",
      );
      await queue.rpc("finish_takedown", { mal_id: 55825, episode: null, target: "hf-2" });
      assert.deepEqual((await down(episode as number))["targets"], ["hf-3"]);
      await queue.rpc("lift_takedown", { mal_id: 55825, episode });
      assert.deepEqual(
        (await queue.sql`select target from keepstream.takedown_leftovers`).map((row) => row["target"]),
        [
          "hf-4",
        ],
      );
    },
  },
  {
    name: "takedown: an episode → no jobs, archives, lists; an event",
    async run(queue) {
      const { job } = await queue.archived({ episode: 1 });
      const other = await queue.enqueue({ episode: 2 });
      const stranger = await queue.enqueue({ episode: 1, mal_id: 7 });
      for (const episode of [1, 2]) {
        await queue.rpc("save_sources", { mal_id: 55825, episode, lists: { animasu: { state: "ok", servers: [] } } });
      }
      const [{ takedown } = {}] = await queue.rpc<{ takedown: Row }>("takedown", { mal_id: 55825, episode: 1 });
      assert.deepEqual(takedown, {
        jobs: 1,
        copies: [{ target: "hf-1", account: 1, repo: "user-1/media", path: archiveOf(job)["hf_path"] }],
        targets: ["hf-1"],
      });
      const left = await queue.sql`select id from public.video_queue order by created_at`;
      assert.deepEqual(left.map((row) => row["id"]), [other["id"], stranger["id"]]);
      assert.deepEqual((await queue.events(job.id)).filter((kind) => kind === "taken_down"), ["taken_down"]);
      const lists = await queue.sql`select episode from keepstream.source_lists`;
      assert.deepEqual(lists.map((row) => row["episode"]), [2]);
      const [{ takedown: whole } = {}] = await queue.rpc<{ takedown: Row }>("takedown", { mal_id: 55825 });
      assert.deepEqual([whole!["jobs"], whole!["targets"]], [1, ["hf-1"]], "with the leftovers of the episode");
      assert.equal((await queue.sql`select from keepstream.source_lists`).length, 0);
      assert.equal((await queue.sql`select from public.video_queue`).length, 1);
      assert.equal(await queue.refusal("takedown", { mal_id: null }), "PT400");
    },
  },
  {
    name: "takedown: enqueue or view afterwards → refused until lifted",
    async run(queue) {
      await queue.rpc("apply_providers", {
        entries: [{ name: "animasu", recipe: "peertube", rights: "own work" }],
        dry_run: false,
      });
      const down = async (mal_id: number, episode: number | null) =>
        void await queue.rpc("takedown", { mal_id, episode });
      const lift = async (mal_id: number, episode: number | null, dry_run = false) =>
        (await queue.rpc("lift_takedown", { mal_id, episode, dry_run }))[0]!["lift_takedown"];
      const ask = (mal_id: number, episode: number) => outcome(queue.enqueue({ mal_id, episode }));
      const view = async (mal_id: number, episode: number) => {
        const servers = [{ video_url: "https://a.test/x", resolution: "1080p" }];
        const [saved] = await queue.rpc<{ save_sources: Row }>("save_sources", {
          mal_id,
          episode,
          lists: { animasu: { state: "ok", servers } },
        });
        const [read] = await queue.rpc<{ read_episode: Row }>("read_episode", { mal_id, episode });
        return [saved!.save_sources["enqueued"], read!.read_episode["taken_down"]];
      };
      await down(1, 1);
      await down(1, 1);
      await down(2, null);
      assert.deepEqual([await ask(1, 1), await ask(1, 2), await ask(2, 5), await ask(3, 1)], [
        "PT451",
        "accepted",
        "PT451",
        "accepted",
      ]);
      assert.deepEqual([await view(1, 1), await view(1, 2), await view(2, 5)], [[0, true], [1, false], [0, true]]);
      assert.equal(
        await outcome(
          queue.rpc("enqueue_videos", {
            videos: [{ mal_id: 2, episode: 1, provider: "animasu", video_url: "https://a.test/" }],
          }),
        ),
        "PT451",
      );
      assert.deepEqual([await lift(1, 1, true), await lift(1, 2, true), await ask(1, 1)], [true, false, "PT451"]);
      assert.deepEqual([await lift(1, 2), await lift(2, 5), await lift(1, 1), await lift(2, null)], [
        false,
        false,
        true,
        true,
      ]);
      assert.deepEqual([await ask(1, 1), await ask(2, 5)], ["accepted", "accepted"]);
      assert.deepEqual(await view(1, 1), [1, false]);
      const audit = await queue.sql`select kind, detail from keepstream.events where queue_id is null order by id`;
      assert.deepEqual(audit.map((event) => [event["kind"], event["detail"]]), [
        ["taken_down", { mal_id: 1, episode: 1 }],
        ["taken_down", { mal_id: 1, episode: 1 }],
        ["taken_down", { mal_id: 2, episode: null }],
        ["takedown_lifted", { mal_id: 1, episode: 1 }],
        ["takedown_lifted", { mal_id: 2, episode: null }],
      ]);
    },
  },
  {
    name: "takedown: a leased job → its worker gets 404 or 409",
    async run(queue) {
      const job = await queue.uploading();
      await queue.rpc("takedown", { mal_id: 55825 });
      assert.equal(await queue.refusedReport(job), "PT404");
      assert.equal(await queue.refusal("upsert_video_store", archiveOf(job)), "PT404");
      assert.equal(
        (await queue.rpc("extend_video_lease", { ids: [job.id], lease_tokens: [job.lease_token] }))[0]!["lost"],
        true,
      );
      assert.equal(await outcome(queue.enqueue({ episode: 1 })), "PT451");
    },
  },
  {
    name: "takedown: copies without a location or account → left out, 0",
    async run(queue) {
      const other = await queue.archived({ mal_id: 2, episode: 1 });
      const job = await queue.uploading({ mal_id: 1, episode: 1 });
      await queue.rpc("upsert_video_store", archiveOf(job, { hf_account: null }));
      const stores = await queue.sql`select mal_id, hf_account from public.video_store order by mal_id`;
      assert.deepEqual(stores.map((row) => [row["mal_id"], row["hf_account"]]), [[1, 0], [2, 1]]);
      await queue.rpc("plan_replica_repairs", { targets: ["hf-2"] });
      const [taken] = await queue.rpc<{ takedown: { copies: Row[] } }>("takedown", { mal_id: 1 });
      assert.deepEqual(taken!.takedown.copies, [
        { target: "hf-1", account: 1, repo: "user-1/media", path: archiveOf(job)["hf_path"] },
      ]);
      assert.equal((await queue.row(other.job.id))["status"], "ready");
    },
  },
];
