/** The two round trips of an answer, and the lists an operator keeps. */
import assert from "node:assert/strict";
import type { QueueFixture, Scenario } from "../fixture/queue_fixture.ts";
import { archiveOf, outcome, type Row, SHA256 } from "../fixture/rpc.ts";

const read = async (queue: QueueFixture, more: Row = {}) =>
  (await queue.rpc<{ read_episode: Record<string, never> }>("read_episode", { mal_id: 55825, episode: 1, ...more }))[0]!
    .read_episode as Record<string, unknown>;
const save = async (queue: QueueFixture, lists: unknown) =>
  (await queue.rpc<{ save_sources: Row }>("save_sources", { mal_id: 55825, episode: 1, lists }))[0]!.save_sources;
const apply = async (queue: QueueFixture, entries: unknown, dry_run = false) =>
  (await queue.rpc<{ apply_providers: Row }>("apply_providers", { entries, dry_run }))[0]!.apply_providers;

const ANIMASU = {
  name: "animasu",
  recipe: "select-base64",
  base_url: "https://site.test",
  rights: "own work",
  selectors: { a: "b" },
};
const SAMEHADAKU = { name: "samehadaku", recipe: "admin-ajax", base_url: "https://other.test", rights: " " };
const server = (more: Row = {}) => ({
  label: "Host 720p",
  embed_url: "https://e.test/1",
  video_url: "https://cdn.test/1.mp4",
  kind: "mp4",
  resolution: "720p",
  headers: { referer: "https://e.test/" },
  ...more,
});

export const EPISODE: readonly Scenario[] = [
  {
    name: "read_episode of an unknown episode → empty answers, no client counted",
    async run(queue) {
      await queue.sql`delete from public.providers where true`;
      assert.deepEqual(await read(queue), {
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
        assert.equal(await outcome(read(queue, bad)), "PT400");
      }
    },
  },
  {
    name: "read_episode → providers in the operator's order, mapping, catalogue, lists, store with copies, queue",
    async run(queue) {
      await apply(queue, [SAMEHADAKU, ANIMASU, { name: "off", recipe: "catalogue", enabled: false }]);
      await queue.rpc("import_catalogue", {
        entries: [{ mal_id: 55825, episode: 1, title: "T", sources: [{ url: "https://o.test/1" }], rights: "CC BY" }],
        dry_run: false,
      });
      await queue.rpc("save_title_mapping", { mal_id: 55825, provider: "animasu", mapping: { slug: "t" } });
      await queue.rpc("save_title_mapping", { mal_id: 55825, provider: "gone", mapping: {}, ttl_seconds: -1 });
      const saved = await save(queue, {
        animasu: { state: "ok", servers: [server()] },
        samehadaku: { state: "timeout", code: "provider_timeout" },
      });
      assert.equal(saved["enqueued"], 1);
      const episode = await read(queue);
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
      assert.deepEqual([lists["animasu"]!["state"], lists["animasu"]!["servers"]], ["ok", [server()]]);
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
      assert.deepEqual(((await read(queue))["queue"] as Row[])[0]!["progress"], { phase: "upload" });
      await queue.rpc("upsert_video_store", archiveOf(job));
      const [stored] = (await read(queue))["store"] as Row[];
      assert.deepEqual([stored!["provider"], stored!["hf_repo"], stored!["sha256"], stored!["size_bytes"]], [
        "animasu",
        "user-1/media",
        SHA256,
        4,
      ]);
      assert.deepEqual((stored!["replicas"] as Row[]).map((copy) => copy["target"]), ["hf-1"]);
      assert.equal((await read(queue, { episode: 2 }))["catalogue"], null);
      assert.deepEqual((await read(queue, { episode: 2 }))["queue"], []);
      assert.deepEqual((await read(queue, { mal_id: 2 }))["queue"], []);
    },
  },
  {
    name:
      "save_sources enqueues for declared rights alone: blank, disabled or unknown providers are cached, not archived",
    async run(queue) {
      await apply(queue, [ANIMASU, SAMEHADAKU, { ...ANIMASU, name: "off", enabled: false }]);
      const lists = Object.fromEntries(
        ["animasu", "samehadaku", "off", "stranger"].map((name) => [name, { state: "ok", servers: [server()] }]),
      );
      const saved = await save(queue, lists);
      assert.equal(saved["enqueued"], 1);
      assert.equal(saved["queue_full"], false);
      assert.deepEqual((saved["queue"] as Row[]).map((row) => row["provider"]), ["animasu"]);
      assert.equal(Object.keys((await read(queue))["source_lists"] as Row).length, 4);
    },
  },
  {
    name: "save_sources of the catalogue → by the entry's own rights alone",
    async run(queue) {
      await apply(queue, [{ name: "catalogue", recipe: "catalogue", rights: "stated per entry" }]);
      const list = { catalogue: { state: "ok", servers: [server()] } };
      assert.equal((await save(queue, list))["enqueued"], 0);
      await queue.rpc("import_catalogue", {
        entries: [{ mal_id: 55825, episode: 1, sources: [], rights: "CC BY" }],
        dry_run: false,
      });
      assert.equal((await save(queue, list))["enqueued"], 1);
    },
  },
  {
    name:
      "read_episode with reader_seconds → each due reading is given to one caller, and again once it is saved or runs out",
    async run(queue) {
      await apply(queue, [ANIMASU, SAMEHADAKU, { ...ANIMASU, name: "off", enabled: false }]);
      const sourceReads = async (more: Row = {}) =>
        (await read(queue, { reader_seconds: 20, ...more }))["source_reads"];
      const aged = (seconds: number) =>
        queue.sql`update keepstream.source_lists set fetched_at = now() - make_interval(secs => ${seconds}) where true`;
      assert.deepEqual((await read(queue))["source_reads"], {}, "who only looks claims nothing");
      assert.deepEqual(await sourceReads(), { animasu: true, samehadaku: true });
      assert.deepEqual(await sourceReads(), { animasu: false, samehadaku: false });
      assert.deepEqual(await sourceReads({ episode: 2 }), { animasu: true, samehadaku: true }, "episodes are separate");
      assert.deepEqual(await sourceReads({ mal_id: 1 }), { animasu: true, samehadaku: true });
      await queue
        .sql`update keepstream.source_reads set until = now() - interval '1 second' where provider = 'samehadaku'`;
      assert.deepEqual(await sourceReads(), { animasu: false, samehadaku: true }, "a reader that died");

      await save(queue, { animasu: { state: "ok", servers: [server()], due_seconds: 300 } });
      assert.deepEqual(await sourceReads(), { samehadaku: false });
      assert.deepEqual(await sourceReads({ refresh: true }), { samehadaku: false }, "read a moment ago");
      await aged(61);
      assert.deepEqual(await sourceReads(), { samehadaku: false });
      assert.deepEqual(await sourceReads({ refresh: true }), { animasu: true, samehadaku: false });
      assert.deepEqual(await sourceReads({ refresh: true }), { animasu: false, samehadaku: false });
      await queue.sql`delete from keepstream.source_reads where true`;
      await aged(299);
      assert.deepEqual(await sourceReads(), { samehadaku: true });
      await aged(301);
      assert.deepEqual(await sourceReads(), { animasu: true, samehadaku: false });
      await save(queue, { animasu: { state: "ok" }, samehadaku: { state: "ok" } });
      await aged(1199);
      assert.deepEqual(await sourceReads(), {});
      await aged(1201);
      assert.deepEqual(
        await sourceReads(),
        { animasu: true, samehadaku: true },
        "saving ended the claims; 20 min when not said",
      );
      const [row] = await queue
        .sql`select extract(epoch from max(until) - now())::float8 as left from keepstream.source_reads`;
      assert.ok(row!["left"] > 15 && row!["left"] <= 20);
      await sourceReads({ mal_id: 2, reader_seconds: 9999 });
      const [most] = await queue
        .sql`select extract(epoch from max(until) - now())::float8 as left from keepstream.source_reads`;
      assert.ok(most!["left"] > 55 && most!["left"] <= 60);
    },
  },
  {
    name: "read_episode of a client over its limit claims no reading",
    async run(queue) {
      await apply(queue, [ANIMASU]);
      await queue.sql`update keepstream.settings set client_requests_per_minute = 1 where singleton`;
      try {
        await read(queue, { client: "a", mal_id: 1 });
        const refused = await read(queue, { client: "a", reader_seconds: 20 });
        assert.deepEqual([(refused["rate_limit"] as Row)["allowed"], refused["source_reads"]], [false, {}]);
        assert.deepEqual((await read(queue, { client: "b", reader_seconds: 20 }))["source_reads"], { animasu: true });
      } finally {
        await queue.sql`update keepstream.settings set client_requests_per_minute = 120 where singleton`;
      }
    },
  },
  {
    name:
      "a provider that fails in a row is due later and later, up to 15 minutes, each time with jitter; one list ends that",
    async run(queue) {
      await apply(queue, [ANIMASU]);
      const failed = { state: "failed", code: "parse", due_seconds: 30 };
      const due = async () =>
        (await queue.sql`select failures, due_seconds from keepstream.source_lists where provider = 'animasu'`)[0]!;
      for (const [index, most] of [30, 60, 120, 240, 480, 900, 900].entries()) {
        await save(queue, { animasu: failed });
        const { failures, due_seconds } = await due();
        assert.equal(failures, index + 1);
        assert.ok(due_seconds >= most / 2 && due_seconds <= most, `${due_seconds} of ${most}`);
      }
      const list = ((await read(queue))["source_lists"] as Record<string, Row>)["animasu"]!;
      assert.ok((list["due_in_seconds"] as number) > 400);
      const seen = new Set<number>();
      for (let turn = 0; turn < 8; turn++) {
        await save(queue, { animasu: failed });
        seen.add((await due())["due_seconds"]);
      }
      assert.ok(seen.size > 1, "jitter");
      await save(queue, { animasu: { ...failed, retry_after_seconds: 2000 } });
      assert.equal((await due())["due_seconds"], 2000, "the site asked for it");
      await save(queue, { animasu: { ...failed, retry_after_seconds: 99999 } });
      assert.equal((await due())["due_seconds"], 3600, "but nobody is shut out for a day");
      await save(queue, { animasu: { state: "ok", servers: [] } });
      assert.deepEqual({ ...await due() }, { failures: 0, due_seconds: 1200 });
      await save(queue, { animasu: { state: "empty", code: "empty" } });
      assert.equal((await due())["failures"], 1);
    },
  },
  {
    name:
      "a site that fails three times in a row, on whatever episode → in trouble: one look at it for all episodes, when due",
    async run(queue) {
      await apply(queue, [ANIMASU, SAMEHADAKU]);
      const fail = (episode: number, code = "timeout") =>
        queue.rpc("save_sources", { mal_id: 1, episode, lists: { animasu: { state: "failed", code } } });
      const openCircuits = async () => (await read(queue))["open_circuits"] as Record<string, Row>;
      const sourceReads = async (episode: number) =>
        (await read(queue, { episode, reader_seconds: 20 }))["source_reads"];
      await fail(1);
      await fail(2, "network");
      assert.deepEqual(await openCircuits(), {});
      await fail(3, "http_5xx");
      const animasu = (await openCircuits())["animasu"]!;
      assert.equal(animasu["code"], "http_5xx");
      assert.ok((animasu["due_in_seconds"] as number) >= 14 && (animasu["due_in_seconds"] as number) <= 30);
      assert.deepEqual(await sourceReads(9), { samehadaku: true }, "not due: nobody is sent");
      await fail(4, "blocked");
      assert.ok(((await openCircuits())["animasu"]!["due_in_seconds"] as number) >= 29);

      await queue.sql`update keepstream.provider_health set due_at = now() - interval '1 second' where true`;
      assert.deepEqual(await sourceReads(10), { animasu: true, samehadaku: true });
      assert.deepEqual(await sourceReads(11), { animasu: false, samehadaku: true }, "one look is enough");
      await fail(10);
      assert.deepEqual(await sourceReads(12), { samehadaku: true });
      for (let turn = 0; turn < 30; turn++) await fail(20 + turn);
      assert.ok(((await openCircuits())["animasu"]!["due_in_seconds"] as number) <= 900);

      await fail(5, "robots");
      await fail(5, "no_mapping");
      assert.ok((await openCircuits())["animasu"], "nothing was asked of the site");
      await fail(5, "http_4xx");
      assert.deepEqual(await openCircuits(), {}, "it answers");
      for (const code of ["parse", "too_large", "policy_denied", "busy", "busy", "busy"]) await fail(6, code);
      assert.deepEqual(await openCircuits(), {});
      for (const episode of [1, 2, 3]) await fail(episode);
      await queue.rpc("save_sources", { mal_id: 1, episode: 4, lists: { animasu: { state: "ok" } } });
      assert.deepEqual(await openCircuits(), {});
    },
  },
  {
    name:
      "what an operator changes of a provider, a mapping or the catalogue drops what was read by it, and nothing else",
    async run(queue) {
      const own = { name: "own", recipe: "catalogue" };
      await apply(queue, [ANIMASU, SAMEHADAKU, own]);
      const fill = async () => {
        for (const [mal_id, episode] of [[1, 1], [1, 2], [2, 1]]) {
          const lists = Object.fromEntries(["animasu", "samehadaku", "own"].map((name) => [name, { state: "ok" }]));
          await queue.rpc("save_sources", { mal_id, episode, lists });
        }
      };
      const kept = async () =>
        (await queue
          .sql`select concat_ws('/', provider, mal_id, episode) as it from keepstream.source_lists order by 1`)
          .map((row) => row["it"]);
      const without = (...gone: readonly RegExp[]) =>
        ["animasu", "own", "samehadaku"].flatMap((name) => ["1/1", "1/2", "2/1"].map((at) => `${name}/${at}`))
          .filter((it) => !gone.some((pattern) => pattern.test(it)));
      await fill();
      await apply(queue, [ANIMASU, SAMEHADAKU, own]);
      assert.deepEqual(await kept(), without(), "an unchanged list");
      await apply(queue, [SAMEHADAKU, ANIMASU, own]);
      assert.deepEqual(await kept(), without(), "another order");
      for (
        const change of [{ base_url: "https://moved.test" }, { rights: "other" }, { selectors: {} }, { enabled: false }]
      ) {
        await apply(queue, [SAMEHADAKU, { ...ANIMASU, ...change }, own]);
        assert.deepEqual(await kept(), without(/animasu/), JSON.stringify(change));
        await apply(queue, [SAMEHADAKU, ANIMASU, own]);
        await fill();
      }
      await apply(queue, [ANIMASU, own]);
      assert.deepEqual(await kept(), without(/samehadaku/));
      await fill();
      const map = (by_operator: boolean) =>
        queue.rpc("save_title_mapping", { mal_id: 1, provider: "animasu", mapping: { page: "/x/" }, by_operator });
      await map(false);
      assert.deepEqual(await kept(), without());
      await map(true);
      assert.deepEqual(await kept(), without(/animasu\/1/));
      await fill();
      await queue.sql`delete from public.title_mappings where true`;
      assert.deepEqual(await kept(), without(/animasu\/1/));
      await fill();
      const entry = { mal_id: 1, episode: 2, sources: [], rights: "CC BY" };
      for (const step of ["new", "the same", "changed"]) {
        const changed = { ...entry, title: step === "changed" ? "T" : null };
        await queue.rpc("import_catalogue", { entries: [changed], dry_run: false });
        assert.deepEqual(await kept(), step === "the same" ? without() : without(/own\/1\/2/), step);
        await fill();
      }
      await queue.sql`delete from public.catalogue where true`;
      assert.deepEqual(await kept(), without(/own\/1\/2/));
    },
  },
  {
    name: "save_sources of a failed look keeps the servers that were there; an empty list is news",
    async run(queue) {
      const list = async () => ((await read(queue))["source_lists"] as Record<string, Row>)["animasu"]!;
      await save(queue, { animasu: { state: "ok", servers: [server()] } });
      await save(queue, { animasu: { state: "timeout", code: "timeout", servers: [] } });
      assert.deepEqual([(await list())["state"], (await list())["code"], (await list())["servers"]], [
        "timeout",
        "timeout",
        [server()],
      ]);
      await save(queue, { animasu: { state: "empty", servers: [] } });
      assert.deepEqual([(await list())["state"], (await list())["servers"]], ["empty", []]);
    },
  },
  {
    name: "rights that are missing or withdrawn: nothing is enqueued for the entry, and what waits ends",
    async run(queue) {
      await apply(queue, [ANIMASU, SAMEHADAKU, { name: "catalogue", recipe: "catalogue" }]);
      assert.equal(await outcome(queue.enqueue({ provider: "samehadaku" })), "PT403");
      assert.equal(await outcome(queue.enqueue({ provider: "stranger" })), "PT403", "no entry, no right");
      assert.equal(await outcome(queue.enqueue({ provider: "catalogue", episode: 1 })), "PT403", "no entry of its own");
      const waiting = await queue.enqueue();
      const failed = await queue.downloading({ priority: 0 });
      await queue.update(failed, "failed", { error_class: "network" });
      const held = await queue.downloading({ priority: 0 });
      const entry = { mal_id: 55825, episode: 1, sources: [], rights: "CC BY" };
      await queue.rpc("import_catalogue", { entries: [entry], dry_run: false });
      assert.equal(
        await outcome(queue.enqueue({ provider: "catalogue", episode: 2 })),
        "PT403",
        "another episode's right",
      );
      const kept = await queue.enqueue({ provider: "catalogue", episode: 1 });
      await apply(queue, [{ ...ANIMASU, rights: null }, SAMEHADAKU, { name: "catalogue", recipe: "catalogue" }]);
      for (const { id } of [waiting, failed]) {
        const row = await queue.row(id);
        assert.deepEqual(
          [row["status"], row["error_class"], row["terminal_at"] !== null, row["finished_at"] !== null],
          ["failed", "policy_denied", true, true],
        );
      }
      assert.equal((await queue.row(held.id))["status"], "downloading");
      assert.equal((await queue.row(kept["id"]))["status"], "pending");
      await queue.rpc("import_catalogue", { entries: [{ ...entry, rights: " " }], dry_run: false });
      assert.equal((await queue.row(kept["id"]))["error_class"], "policy_denied");
      await apply(queue, [{ ...ANIMASU, enabled: false }]);
      assert.equal(await outcome(queue.enqueue()), "PT403");
      await apply(queue, [ANIMASU]);
      const orphan = await queue.enqueue();
      await apply(queue, []);
      assert.equal((await queue.row(orphan["id"]))["error_class"], "policy_denied", "with its entry its right is gone");
    },
  },
  {
    name: "save_sources leaves out servers nothing can be made of, and keeps the others",
    async run(queue) {
      await apply(queue, [ANIMASU]);
      const bad = [
        server({ video_url: null }),
        server({ video_url: `https://a.test/${"x".repeat(4096)}` }),
        server({ embed_url: `https://a.test/${"x".repeat(4096)}` }),
        server({ resolution: "<script>" }),
        server({ kind: "a b" }),
        server({ headers: "x" }),
        server({ headers: { cookie: "x".repeat(8192) } }),
        "nonsense",
        null,
        7,
      ];
      const good = server({
        resolution: "1080p",
        embed_url: null,
        kind: null,
        headers: null,
        expires_at: "2027-01-01T00:00:00Z",
      });
      const odd = server({
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
        // The functions leave such a server out; a list that has one all the same is refused.
        assert.equal(await outcome(save(queue, { animasu: { state: "ok", servers: [server(other)] } })), "23514");
      }
      const saved = await save(queue, { animasu: { state: "ok", servers: [...bad, good, odd] } });
      assert.equal(saved["enqueued"], 2);
      assert.deepEqual((saved["queue"] as Row[]).map((row) => row["resolution"]).sort(), ["1080p", "480p"]);
      const [row] = await queue.sql`select expires_at from public.video_candidates where embed_url is null`;
      assert.deepEqual(row!["expires_at"], new Date("2027-01-01T00:00:00Z"));
    },
  },
  {
    name: "save_sources: a page that refuses the functions → enqueued for the runner to read",
    async run(queue) {
      await apply(queue, [ANIMASU]);
      const page = "https://mega.test/file/AbCdEf12#key";
      const unread = { video_url: null, kind: null, embed_url: page };
      const servers = [
        server({ ...unread, resolution: "1080p", code: "blocked" }),
        server({ ...unread, resolution: "720p", code: "gone" }),
        server({ ...unread, resolution: "480p", code: "blocked", embed_url: null }),
      ];
      assert.equal((await save(queue, { animasu: { state: "ok", servers } }))["enqueued"], 1);
      const [job] = await queue.sql`
        select q.resolution, c.video_url, c.embed_url from public.video_candidates c join public.video_queue q on q.id = c.queue_id`;
      assert.deepEqual({ ...job }, { resolution: "1080p", video_url: page, embed_url: page });
    },
  },
  {
    name: "save_sources of more servers than a batch takes → cached, the first of each list asked for",
    async run(queue) {
      await apply(queue, [ANIMASU, { ...SAMEHADAKU, rights: "own work" }]);
      const many = Array.from({ length: 501 }, (_, n) => server({ resolution: `${n}p`, embed_url: null }));
      const lists = { animasu: { state: "ok", servers: many }, samehadaku: { state: "ok", servers: [server()] } };
      const saved = await save(queue, lists);
      assert.equal(saved["enqueued"], 500);
      const [other] = await queue.sql`select from public.video_queue where provider = 'samehadaku'`;
      assert.ok(other, "a long list does not push out another");
      const [list] = await queue.sql`
        select jsonb_array_length(servers) as servers from keepstream.source_lists where provider = 'animasu'`;
      assert.equal(list!["servers"], 501);
    },
  },
  {
    name: "save_sources: servers of one resolution → candidates of one job, in their order",
    async run(queue) {
      await apply(queue, [ANIMASU]);
      const servers = [3, 1, 2].map((n) =>
        server({ embed_url: `https://e.test/${n}`, video_url: `https://cdn.test/${n}` })
      );
      assert.equal((await save(queue, { animasu: { servers } }))["enqueued"], 1);
      const before = await queue.sql`select md5(string_agg(q::text, '')) as digest from public.video_queue q`;
      await save(queue, { animasu: { state: "stale", code: "http_5xx", servers } });
      assert.deepEqual(
        await queue.sql`select md5(string_agg(q::text, '')) as digest from public.video_queue q`,
        before,
        "asked again: nothing new",
      );
      assert.equal(((await read(queue))["source_lists"] as Record<string, Row>)["animasu"]!["code"], "http_5xx");
      assert.equal(((await read(queue))["source_lists"] as Record<string, Row>)["animasu"]!["state"], "stale");
      const job = await queue.claimOne();
      assert.deepEqual(job.candidates.map((candidate) => candidate.video_url), [
        "https://cdn.test/3",
        "https://cdn.test/1",
        "https://cdn.test/2",
      ]);
    },
  },
  {
    name: "save_sources with the queue full → lists cached, nothing enqueued, said so",
    async run(queue) {
      await apply(queue, [ANIMASU]);
      await queue.sql`update keepstream.settings set max_waiting_jobs = 2 where singleton`;
      try {
        await queue.enqueue({ mal_id: 1 });
        assert.equal((await save(queue, { animasu: { servers: [server()] } }))["queue_full"], false);
        await queue.enqueue({ mal_id: 2 });
        const saved = await save(queue, { animasu: { servers: [server({ resolution: "480p" })] } });
        assert.deepEqual([saved["enqueued"], saved["queue_full"]], [0, true]);
        await queue.update(await queue.claimOne(), "failed", { error_class: "drm" });
        assert.equal((await save(queue, { animasu: { servers: [server({ resolution: "480p" })] } }))["enqueued"], 1);
      } finally {
        await queue.sql`update keepstream.settings set max_waiting_jobs = 50000 where singleton`;
      }
    },
  },
  {
    name: "save_sources with what is not lists → 400",
    async run(queue) {
      for (const lists of [null, [], "x", { animasu: 1 }, { animasu: { servers: {} } }]) {
        assert.equal(await outcome(save(queue, lists)), "PT400", JSON.stringify(lists));
      }
      for (const bad of [{ mal_id: 0 }, { episode: 0 }, { mal_id: null }, { episode: null }]) {
        assert.equal(await queue.refusal("save_sources", { mal_id: 1, episode: 1, lists: {}, ...bad }), "PT400");
      }
      assert.equal(await outcome(save(queue, { "../x": { servers: [] } })), "23514");
      assert.equal(await outcome(save(queue, { animasu: { servers: null } })), "accepted");
    },
  },
  {
    name:
      "read_episode with a client → counted, refused past the limit, recovering, each client for itself, kept as a hash",
    async run(queue) {
      await queue.sql`update keepstream.settings set client_requests_per_minute = 3 where singleton`;
      try {
        const ask = async (client: string) => (await read(queue, { client }))["rate_limit"] as Row;
        const answers = [await ask("a"), await ask("a"), await ask("a"), await ask("a"), await ask("a")];
        assert.deepEqual(answers.map((answer) => answer["allowed"]), [true, true, true, false, false]);
        assert.deepEqual(answers.map((answer) => answer["remaining"]), [2, 1, 0, 0, 0]);
        assert.equal(answers[4]!["reset_seconds"], 20);
        assert.ok((answers[2]!["reset_seconds"] as number) > 55 && (answers[2]!["reset_seconds"] as number) <= 60);
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
  {
    name: "apply_providers → the list equals the file; a dry run only says what would change",
    async run(queue) {
      const names = async () =>
        (await queue.sql`select name from public.providers order by position`).map((row) => row["name"]);
      await queue.sql`delete from public.providers where true`;
      assert.deepEqual(await apply(queue, [ANIMASU, SAMEHADAKU], true), {
        added: ["animasu", "samehadaku"],
        changed: [],
        removed: [],
        unchanged: [],
        dry_run: true,
      });
      assert.deepEqual(await names(), []);
      await apply(queue, [ANIMASU, SAMEHADAKU]);
      assert.deepEqual(await names(), ["animasu", "samehadaku"]);
      const places = await queue.sql`select position from public.providers order by name`;
      assert.deepEqual(places.map((row) => row["position"]), [0, 1]);
      assert.deepEqual(await apply(queue, [ANIMASU, SAMEHADAKU], true), {
        added: [],
        changed: [],
        removed: [],
        unchanged: ["animasu", "samehadaku"],
        dry_run: true,
      });
      const next = [{ ...ANIMASU, base_url: "https://new.test", selectors: { a: "c" } }, {
        name: "third",
        recipe: "peertube",
      }];
      assert.deepEqual(await apply(queue, next), {
        added: ["third"],
        changed: ["animasu"],
        removed: ["samehadaku"],
        unchanged: [],
        dry_run: false,
      });
      assert.deepEqual(await names(), ["animasu", "third"]);
      const [row] = await queue.sql`select * from public.providers where name = 'animasu'`;
      assert.deepEqual([row!["base_url"], row!["config"], row!["rights"], row!["enabled"]], [
        "https://new.test",
        { selectors: { a: "c" } },
        "own work",
        true,
      ]);
      assert.equal(await queue.refusal("apply_providers", { entries: {}, dry_run: false }), "PT400");
      assert.equal(await queue.refusal("apply_providers", { entries: null, dry_run: false }), "PT400");
      assert.equal(await queue.refusal("apply_providers", { entries: [ANIMASU, ANIMASU], dry_run: false }), "PT400");
      assert.equal(
        await queue.refusal("apply_providers", { entries: [{ ...ANIMASU, name: "../x" }], dry_run: false }),
        "23514",
      );
      assert.equal(
        await queue.refusal("apply_providers", { entries: [{ ...ANIMASU, base_url: "file:///" }], dry_run: false }),
        "23514",
      );
      await apply(queue, []);
      assert.deepEqual(await names(), []);
    },
  },
  {
    name:
      "import_catalogue → adds and changes, removes nothing; a dry run only says what would change; the last of two equal keys wins",
    async run(queue) {
      const imported = async (entries: unknown, dry_run = false) =>
        (await queue.rpc<{ import_catalogue: Row }>("import_catalogue", { entries, dry_run }))[0]!.import_catalogue;
      const entry = (episode: number, title = "T") => ({
        mal_id: 1,
        episode,
        title,
        sources: [{ url: "https://o.test/" }],
        rights: "CC BY",
      });
      assert.deepEqual(await imported([entry(1), entry(2)], true), {
        added: 2,
        changed: 0,
        unchanged: 0,
        dry_run: true,
      });
      assert.equal((await queue.sql`select from public.catalogue`).length, 0);
      await imported([entry(1), entry(2, "first"), entry(2, "last")]);
      const [row] = await queue.sql`select * from public.catalogue where episode = 2`;
      assert.deepEqual([row!["title"], row!["rights"], row!["sources"]], ["last", "CC BY", [{
        url: "https://o.test/",
      }]]);
      assert.deepEqual(await imported([entry(1), entry(2, "new"), entry(3)]), {
        added: 1,
        changed: 1,
        unchanged: 1,
        dry_run: false,
      });
      assert.equal((await queue.sql`select from public.catalogue`).length, 3);
      assert.equal(await queue.refusal("import_catalogue", { entries: { a: 1 } }), "PT400");
      assert.equal(await queue.refusal("import_catalogue", { entries: null }), "PT400");
    },
  },
  {
    name: "save_title_mapping → kept until it expires; an operator's own is never overwritten by a found one",
    async run(queue) {
      const keep = async (more: Row) =>
        (await queue.rpc("save_title_mapping", {
          mal_id: 55825,
          provider: "animasu",
          mapping: { slug: "found" },
          ...more,
        }))[0]!["save_title_mapping"];
      const mapping = async () => ((await read(queue))["mappings"] as Record<string, Row>)["animasu"];
      assert.equal(await keep({ ttl_seconds: 60 }), true);
      assert.deepEqual(await mapping(), { slug: "found" });
      await queue.sql`update public.title_mappings set expires_at = now() - interval '1 second' where true`;
      assert.equal(await mapping(), undefined);
      assert.equal(await keep({ mapping: { slug: "own" }, by_operator: true }), true);
      assert.equal(await keep({ mapping: { slug: "found again" } }), false);
      assert.deepEqual(await mapping(), { slug: "own" });
      assert.equal(await keep({ mapping: { slug: "better" }, by_operator: true }), true);
      assert.deepEqual(await mapping(), { slug: "better" });
    },
  },
  {
    name: "save_metadata → read_metadata until it expires",
    async run(queue) {
      const readKey = async (key: string) => (await queue.rpc("read_metadata", { key }))[0]!["read_metadata"];
      assert.equal(await readKey("anime/1"), null);
      await queue.rpc("save_metadata", { key: "anime/1", value: { title: "T" }, ttl_seconds: 60 });
      assert.deepEqual(await readKey("anime/1"), { title: "T" });
      await queue.rpc("save_metadata", { key: "anime/1", value: { title: "U" }, ttl_seconds: 60 });
      assert.deepEqual(await readKey("anime/1"), { title: "U" });
      await queue.rpc("save_metadata", { key: "anime/1", value: { title: "U" }, ttl_seconds: -1 });
      assert.equal(await readKey("anime/1"), null);
    },
  },
];
