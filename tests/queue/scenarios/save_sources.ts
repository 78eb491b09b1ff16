/** The second round trip of a cold response. */
import assert from "node:assert/strict";
import { ANIMASU, applyProviders, readEpisode, SAMEHADAKU, saveSources, serverOf } from "../fixture/episodes.ts";
import type { Scenario } from "../fixture/queue_fixture.ts";
import { outcome, type Row } from "../fixture/rpc.ts";

export const SAVE_SOURCES: readonly Scenario[] = [
  {
    name: "save_sources: listed subtitles and chapters → with the candidate",
    async run(queue) {
      const url = "https://a.test/en.vtt";
      const subtitles = [
        ...[7, null, {}, { url: 7 }, { url: `https://a.test/${"x".repeat(4090)}` }],
        { url, language: "en", label: "x".repeat(500), kind: "captions", secret: "left out" },
      ];
      const chapters = [
        ...[7, { seconds: "1" }, { seconds: -1, title: "x" }, { title: "x" }],
        { seconds: 1.5, title: "Opening", kind: "intro" },
      ];
      await saveSources(queue, { animasu: { state: "ok", servers: [{ ...serverOf(), subtitles, chapters }] } });
      const [job] = await queue.claim();
      assert.deepEqual((job!.candidates[0] as unknown as Row)["listed_tracks"], {
        subtitles: [{ url, language: "en", label: "x".repeat(80), kind: "captions" }],
        chapters: [{ seconds: 1.5, title: "Opening", kind: "intro" }],
      });
    },
  },
  {
    name: "save_sources: sixty long subtitle URLs → a row of limited size",
    async run(queue) {
      const subtitles = Array.from({ length: 60 }, (_, i) => ({ url: `https://a.test/${i}/${"x".repeat(4000)}` }));
      await saveSources(queue, { animasu: { state: "ok", servers: [{ ...serverOf(), subtitles }] } });
      const [row] = await queue.sql`select octet_length(listed_tracks::text) as bytes from public.video_candidates`;
      assert.ok(row!["bytes"] > 4000 && row!["bytes"] <= 131_072, String(row!["bytes"]));
    },
  },
  {
    name: "save_sources: a url of 4096 bytes → enqueued; of 4097 → left out",
    async run(queue) {
      const url = (bytes: number) => `https://a.test/${"x".repeat(bytes - "https://a.test/".length)}`;
      const servers = [
        { resolution: "720p", video_url: url(4096) },
        { resolution: "480p", video_url: url(4097) },
      ];
      await queue.rpc("save_sources", { mal_id: 1, episode: 1, lists: { animasu: { state: "ok", servers } } });
      const rows = await queue.sql`select resolution from public.video_queue`;
      assert.deepEqual(rows.map((row) => row["resolution"]), ["720p"]);
    },
  },
  {
    name: "save_sources: undeclared rights → cached, not archived",
    async run(queue) {
      await applyProviders(queue, [ANIMASU, SAMEHADAKU, { ...ANIMASU, name: "off", enabled: false }]);
      const lists = Object.fromEntries(
        ["animasu", "samehadaku", "off", "stranger"].map((name) => [name, { state: "ok", servers: [serverOf()] }]),
      );
      const saved = await saveSources(queue, lists);
      assert.equal(saved["enqueued"], 1);
      assert.equal(saved["queue_full"], false);
      assert.deepEqual((saved["queue"] as Row[]).map((row) => row["provider"]), ["animasu"]);
      assert.equal(Object.keys((await readEpisode(queue))["source_lists"] as Row).length, 4);
    },
  },
  {
    name: "save_sources: the catalogue → by the entry's own rights",
    async run(queue) {
      await applyProviders(queue, [{ name: "catalogue", recipe: "catalogue", rights: "stated per entry" }]);
      const list = { catalogue: { state: "ok", servers: [serverOf()] } };
      assert.equal((await saveSources(queue, list))["enqueued"], 0);
      await queue.rpc("import_catalogue", {
        entries: [{ mal_id: 55825, episode: 1, sources: [], rights: "CC BY" }],
        dry_run: false,
      });
      assert.equal((await saveSources(queue, list))["enqueued"], 1);
    },
  },
  {
    name: "save_sources: a failed read → known servers stay; empty → none",
    async run(queue) {
      const list = async () => ((await readEpisode(queue))["source_lists"] as Record<string, Row>)["animasu"]!;
      await saveSources(queue, { animasu: { state: "ok", servers: [serverOf()] } });
      await saveSources(queue, { animasu: { state: "timeout", code: "timeout", servers: [] } });
      assert.deepEqual([(await list())["state"], (await list())["code"], (await list())["servers"]], [
        "timeout",
        "timeout",
        [serverOf()],
      ]);
      await saveSources(queue, { animasu: { state: "empty", servers: [] } });
      assert.deepEqual([(await list())["state"], (await list())["servers"]], ["empty", []]);
    },
  },
  {
    name: "save_sources: unusable servers → left out, the others kept",
    async run(queue) {
      await applyProviders(queue, [ANIMASU]);
      const bad = [
        serverOf({ video_url: null }),
        serverOf({ video_url: `https://a.test/${"x".repeat(4096)}` }),
        serverOf({ embed_url: `https://a.test/${"x".repeat(4096)}` }),
        serverOf({ resolution: "<script>" }),
        serverOf({ kind: "a b" }),
        serverOf({ headers: "x" }),
        serverOf({ headers: { cookie: "x".repeat(8192) } }),
        "nonsense",
        null,
        7,
      ];
      const good = serverOf({
        resolution: "1080p",
        embed_url: null,
        kind: null,
        headers: null,
        expires_at: "2027-01-01T00:00:00Z",
      });
      const odd = serverOf({
        resolution: "480p",
        expires_at: "soon",
        video_url: `https://a.test/${"x".repeat(4081)}`,
        embed_url: `https://b.test/${"x".repeat(4081)}`,
      });
      for (
        const other of [{ video_url: "javascript:alert(1)" }, { video_url: "-oProxyCommand=x" }, {
          embed_url: "file:///etc/passwd",
        }]
      ) {
        // The functions leave such a server out; a list that contains one is refused.
        assert.equal(
          await outcome(saveSources(queue, { animasu: { state: "ok", servers: [serverOf(other)] } })),
          "23514",
        );
      }
      const saved = await saveSources(queue, { animasu: { state: "ok", servers: [...bad, good, odd] } });
      assert.equal(saved["enqueued"], 2);
      assert.deepEqual((saved["queue"] as Row[]).map((row) => row["resolution"]).sort(), ["1080p", "480p"]);
      const [row] = await queue.sql`select expires_at from public.video_candidates where embed_url is null`;
      assert.deepEqual(row!["expires_at"], new Date("2027-01-01T00:00:00Z"));
    },
  },
  {
    name: "save_sources: a page blocks the functions → runner gets it",
    async run(queue) {
      await applyProviders(queue, [ANIMASU]);
      const page = "https://mega.test/file/AbCdEf12#key";
      const unread = { video_url: null, kind: null, embed_url: page };
      const servers = [
        serverOf({ ...unread, resolution: "1080p", code: "blocked" }),
        serverOf({ ...unread, resolution: "720p", code: "gone" }),
        serverOf({ ...unread, resolution: "480p", code: "blocked", embed_url: null }),
      ];
      assert.equal((await saveSources(queue, { animasu: { state: "ok", servers } }))["enqueued"], 1);
      const [job] = await queue.sql`
        select q.resolution, c.video_url, c.embed_url from public.video_candidates c join public.video_queue q on q.id = c.queue_id`;
      assert.deepEqual({ ...job }, { resolution: "1080p", video_url: page, embed_url: page });
    },
  },
  {
    name: "save_sources: more servers than a batch → first of each list",
    async run(queue) {
      await applyProviders(queue, [ANIMASU, { ...SAMEHADAKU, rights: "own work" }]);
      const many = Array.from({ length: 501 }, (_, n) => serverOf({ resolution: `${n}p`, embed_url: null }));
      const lists = { animasu: { state: "ok", servers: many }, samehadaku: { state: "ok", servers: [serverOf()] } };
      const saved = await saveSources(queue, lists);
      assert.equal(saved["enqueued"], 500);
      const [other] = await queue.sql`select from public.video_queue where provider = 'samehadaku'`;
      assert.ok(other, "a long list does not displace another");
      const [list] = await queue.sql`
        select jsonb_array_length(servers) as servers from keepstream.source_lists where provider = 'animasu'`;
      assert.equal(list!["servers"], 501);
    },
  },
  {
    name: "save_sources: servers of one resolution → ranked candidates",
    async run(queue) {
      await applyProviders(queue, [ANIMASU]);
      const servers = [3, 1, 2].map((n) =>
        serverOf({ embed_url: `https://e.test/${n}`, video_url: `https://cdn.test/${n}` })
      );
      assert.equal((await saveSources(queue, { animasu: { servers } }))["enqueued"], 1);
      const before = await queue.sql`select md5(string_agg(q::text, '')) as digest from public.video_queue q`;
      await saveSources(queue, { animasu: { state: "stale", code: "http_5xx", servers } });
      assert.deepEqual(
        await queue.sql`select md5(string_agg(q::text, '')) as digest from public.video_queue q`,
        before,
        "enqueued again: nothing new",
      );
      assert.equal(((await readEpisode(queue))["source_lists"] as Record<string, Row>)["animasu"]!["code"], "http_5xx");
      assert.equal(((await readEpisode(queue))["source_lists"] as Record<string, Row>)["animasu"]!["state"], "stale");
      const job = await queue.claimOne();
      assert.deepEqual(job.candidates.map((candidate) => candidate.video_url), [
        "https://cdn.test/3",
        "https://cdn.test/1",
        "https://cdn.test/2",
      ]);
    },
  },
  {
    name: "save_sources: queue full → cached, not enqueued, reported",
    async run(queue) {
      await applyProviders(queue, [ANIMASU]);
      await queue.sql`update keepstream.settings set max_waiting_jobs = 2 where singleton`;
      try {
        await queue.enqueue({ mal_id: 1 });
        assert.equal((await saveSources(queue, { animasu: { servers: [serverOf()] } }))["queue_full"], false);
        await queue.enqueue({ mal_id: 2 });
        const saved = await saveSources(queue, { animasu: { servers: [serverOf({ resolution: "480p" })] } });
        assert.deepEqual([saved["enqueued"], saved["queue_full"]], [0, true]);
        await queue.update(await queue.claimOne(), "failed", { error_class: "drm" });
        assert.equal(
          (await saveSources(queue, { animasu: { servers: [serverOf({ resolution: "480p" })] } }))["enqueued"],
          1,
        );
      } finally {
        await queue.sql`update keepstream.settings set max_waiting_jobs = 50000 where singleton`;
      }
    },
  },
  {
    name: "save_sources: malformed lists → 400",
    async run(queue) {
      for (const lists of [null, [], "x", { animasu: 1 }, { animasu: { servers: {} } }]) {
        assert.equal(await outcome(saveSources(queue, lists)), "PT400", JSON.stringify(lists));
      }
      for (const bad of [{ mal_id: 0 }, { episode: 0 }, { mal_id: null }, { episode: null }]) {
        assert.equal(await queue.refusal("save_sources", { mal_id: 1, episode: 1, lists: {}, ...bad }), "PT400");
      }
      assert.equal(await outcome(saveSources(queue, { "../x": { servers: [] } })), "23514");
      assert.equal(await outcome(saveSources(queue, { animasu: { servers: null } })), "accepted");
    },
  },
];
