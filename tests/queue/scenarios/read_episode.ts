/** The first round trip of a response. */
import assert from "node:assert/strict";
import { ANIMASU, applyProviders, readEpisode, SAMEHADAKU, saveSources, serverOf } from "../fixture/episodes.ts";
import type { Scenario } from "../fixture/queue_fixture.ts";
import { archiveOf, outcome, type Row, SHA256 } from "../fixture/rpc.ts";

export const READ_EPISODE: readonly Scenario[] = [
  {
    name: "read_episode, save_sources: other episodes and titles → not mixed",
    async run(queue) {
      for (const [mal_id, episode] of [[1, 1], [1, 2], [2, 1]]) {
        const servers = [{ video_url: "https://a.test/v.mp4", resolution: "480p" }];
        const [saved] = await queue.rpc<{ save_sources: { queue: Row[] } }>("save_sources", {
          mal_id,
          episode,
          lists: { [`p${mal_id}${episode}`]: { state: "ok", servers: [] }, animasu: { state: "ok", servers } },
        });
        assert.equal(saved!.save_sources.queue.length, 1);
        const job = await queue.claimOne();
        await queue.update(job, "uploading");
        await queue.rpc("upsert_video_store", archiveOf(job));
      }
      const [row] = await queue.rpc<{ read_episode: Record<string, Row | Row[]> }>("read_episode", {
        mal_id: 1,
        episode: 1,
      });
      const { source_lists, store, queue: jobs } = row!.read_episode;
      assert.deepEqual(Object.keys(source_lists!).sort(), ["animasu", "p11"]);
      assert.equal((store as Row[]).length, 1);
      assert.equal((jobs as Row[]).length, 1);
    },
  },
  {
    name: "read_episode: an unknown episode → empty fields, not counted",
    async run(queue) {
      await queue.sql`delete from public.providers where true`;
      assert.deepEqual(await readEpisode(queue), {
        providers: [],
        catalogue: null,
        mappings: {},
        source_lists: {},
        source_reads: {},
        open_circuits: {},
        store: [],
        queue: [],
        taken_down: false,
        rate_limit: null,
      });
      for (
        const bad of [{ mal_id: 0 }, { mal_id: null }, { episode: 0 }, { episode: null }, { episode: -5 }, {
          mal_id: -1,
        }]
      ) {
        assert.equal(await outcome(readEpisode(queue, bad)), "PT400");
      }
    },
  },
  {
    name: "read_episode: a known episode → all that a response needs",
    async run(queue) {
      await applyProviders(queue, [SAMEHADAKU, ANIMASU, { name: "off", recipe: "catalogue", enabled: false }]);
      await queue.rpc("import_catalogue", {
        entries: [{ mal_id: 55825, episode: 1, title: "T", sources: [{ url: "https://o.test/1" }], rights: "CC BY" }],
        dry_run: false,
      });
      await queue.rpc("save_title_mapping", { mal_id: 55825, provider: "animasu", mapping: { slug: "t" } });
      await queue.rpc("save_title_mapping", { mal_id: 55825, provider: "gone", mapping: {}, ttl_seconds: -1 });
      const saved = await saveSources(queue, {
        animasu: { state: "ok", servers: [serverOf()] },
        samehadaku: { state: "timeout", code: "provider_timeout" },
      });
      assert.equal(saved["enqueued"], 1);
      const episode = await readEpisode(queue);
      assert.deepEqual(episode["providers"], [
        { name: "samehadaku", recipe: "admin-ajax", base_url: "https://other.test", rights: null, config: {} },
        {
          name: "animasu",
          recipe: "select-base64",
          base_url: "https://site.test",
          rights: "own work",
          config: { selectors: { a: "b" } },
        },
      ]);
      assert.deepEqual(episode["catalogue"], { title: "T", sources: [{ url: "https://o.test/1" }], rights: "CC BY" });
      assert.deepEqual(episode["mappings"], { animasu: { slug: "t" } });
      const lists = episode["source_lists"] as Record<string, Row>;
      assert.deepEqual([lists["animasu"]!["state"], lists["animasu"]!["servers"]], ["ok", [serverOf()]]);
      assert.deepEqual([lists["samehadaku"]!["state"], lists["samehadaku"]!["code"], lists["samehadaku"]!["servers"]], [
        "timeout",
        "provider_timeout",
        [],
      ]);
      assert.ok((lists["animasu"]!["age_seconds"] as number) >= 0 && (lists["animasu"]!["age_seconds"] as number) < 60);
      assert.deepEqual((episode["queue"] as Row[]).map((row) => [row["provider"], row["resolution"], row["status"]]), [[
        "animasu",
        "720p",
        "pending",
      ]]);
      const job = await queue.claimOne();
      assert.deepEqual(
        job.candidates[0],
        {
          ...job.candidates[0]!,
          embed_url: "https://e.test/1",
          kind: "mp4",
          headers: { referer: "https://e.test/" },
        } as never,
      );
      await queue.update(job, "uploading", { progress: { phase: "upload" } });
      assert.deepEqual(((await readEpisode(queue))["queue"] as Row[])[0]!["progress"], { phase: "upload" });
      await queue.rpc("upsert_video_store", archiveOf(job));
      const [stored] = (await readEpisode(queue))["store"] as Row[];
      assert.deepEqual([stored!["provider"], stored!["hf_repo"], stored!["sha256"], stored!["size_bytes"]], [
        "animasu",
        "user-1/media",
        SHA256,
        4,
      ]);
      assert.deepEqual((stored!["replicas"] as Row[]).map((copy) => copy["target"]), ["hf-1"]);
      assert.equal((await readEpisode(queue, { episode: 2 }))["catalogue"], null);
      assert.deepEqual((await readEpisode(queue, { episode: 2 }))["queue"], []);
      assert.deepEqual((await readEpisode(queue, { mal_id: 2 }))["queue"], []);
    },
  },
  {
    name: "read_episode: client over its limit → no read is claimed",
    async run(queue) {
      await applyProviders(queue, [ANIMASU]);
      await queue.sql`update keepstream.settings set client_requests_per_minute = 1 where singleton`;
      try {
        await readEpisode(queue, { client: "a", mal_id: 1 });
        const refused = await readEpisode(queue, { client: "a", reader_seconds: 20 });
        assert.deepEqual([(refused["rate_limit"] as Row)["allowed"], refused["source_reads"]], [false, {}]);
        assert.deepEqual((await readEpisode(queue, { client: "b", reader_seconds: 20 }))["source_reads"], {
          animasu: true,
        });
      } finally {
        await queue.sql`update keepstream.settings set client_requests_per_minute = 120 where singleton`;
      }
    },
  },
  {
    name: "read_episode: with a client → counted and limited, kept as hash",
    async run(queue) {
      await queue.sql`update keepstream.settings set client_requests_per_minute = 3 where singleton`;
      try {
        const ask = async (client: string) => (await readEpisode(queue, { client }))["rate_limit"] as Row;
        const responses = [await ask("a"), await ask("a"), await ask("a"), await ask("a"), await ask("a")];
        assert.deepEqual(responses.map((response) => response["allowed"]), [true, true, true, false, false]);
        assert.deepEqual(responses.map((response) => response["remaining"]), [2, 1, 0, 0, 0]);
        assert.equal(responses[4]!["reset_seconds"], 20);
        assert.ok((responses[2]!["reset_seconds"] as number) > 55 && (responses[2]!["reset_seconds"] as number) <= 60);
        assert.equal((await ask("b"))["allowed"], true);
        await queue.sql`update keepstream.client_limits set full_at = full_at - interval '21 seconds' where true`;
        assert.deepEqual([(await ask("a"))["allowed"], (await ask("a"))["allowed"]], [true, false]);
        const rows = await queue.sql`select client from keepstream.client_limits`;
        assert.equal(rows.length, 2);
        for (const row of rows) assert.match(row["client"], /^[A-Za-z0-9+/]{43}=$/);
      } finally {
        await queue.sql`update keepstream.settings set client_requests_per_minute = 120 where singleton`;
      }
    },
  },
];
