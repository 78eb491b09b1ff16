/** Who reads a provider's pages: one reader per episode, and one for all episodes while a circuit is open. */
import assert from "node:assert/strict";
import { ANIMASU, applyProviders, readEpisode, SAMEHADAKU, saveSources, serverOf } from "../fixture/episodes.ts";
import type { QueueFixture, Scenario } from "../fixture/queue_fixture.ts";
import { outcome, type Row } from "../fixture/rpc.ts";

type EpisodeRow = Record<"source_reads" | "source_lists" | "open_circuits", Record<string, Row>>;

const read = async (queue: QueueFixture, more: Row = {}) =>
  (await queue.rpc<{ read_episode: EpisodeRow }>("read_episode", {
    mal_id: 1,
    episode: 1,
    reader_seconds: 20,
    ...more,
  }))[
    0
  ]!
    .read_episode;
const save = (queue: QueueFixture, provider: string, list: Row, more: Row = {}) =>
  queue.rpc("save_sources", { mal_id: 1, episode: 1, lists: { [provider]: list }, ...more });
const fail = async (queue: QueueFixture, provider: string, times: number) => {
  for (let episode = 1; episode <= times; episode++) {
    await save(queue, provider, { state: "failed", code: "timeout" }, { episode });
  }
};
const PROVIDERS = ["animasu", "samehadaku"].map((name) => ({ name, recipe: "page", rights: "own work" }));
const apply = (queue: QueueFixture, entries: readonly Row[]) =>
  queue.rpc("apply_providers", { entries, dry_run: false });

export const SOURCE_READS: readonly Scenario[] = [
  {
    name: "read_episode: reader_seconds → each due read for one caller",
    async run(queue) {
      await applyProviders(queue, [ANIMASU, SAMEHADAKU, { ...ANIMASU, name: "off", enabled: false }]);
      const sourceReads = async (more: Row = {}) =>
        (await readEpisode(queue, { reader_seconds: 20, ...more }))["source_reads"];
      const aged = (seconds: number) =>
        queue.sql`update keepstream.source_lists set fetched_at = now() - make_interval(secs => ${seconds}) where true`;
      assert.deepEqual((await readEpisode(queue))["source_reads"], {}, "without reader_seconds, nothing is claimed");
      assert.deepEqual(await sourceReads(), { animasu: true, samehadaku: true });
      assert.deepEqual(await sourceReads(), { animasu: false, samehadaku: false });
      assert.deepEqual(await sourceReads({ episode: 2 }), { animasu: true, samehadaku: true }, "episodes are separate");
      assert.deepEqual(await sourceReads({ mal_id: 1 }), { animasu: true, samehadaku: true });
      await queue
        .sql`update keepstream.source_reads set until = now() - interval '1 second' where provider = 'samehadaku'`;
      assert.deepEqual(await sourceReads(), { animasu: false, samehadaku: true }, "the reader's claim expired");

      await saveSources(queue, { animasu: { state: "ok", servers: [serverOf()], due_seconds: 300 } });
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
      await saveSources(queue, { animasu: { state: "ok" }, samehadaku: { state: "ok" } });
      await aged(1199);
      assert.deepEqual(await sourceReads(), {});
      await aged(1201);
      assert.deepEqual(
        await sourceReads(),
        { animasu: true, samehadaku: true },
        "saving ended the claims; due after 20 min by default",
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
    name: "failing provider: each failure → due later, up to 15 minutes",
    async run(queue) {
      await applyProviders(queue, [ANIMASU]);
      const failed = { state: "failed", code: "parse", due_seconds: 30 };
      const due = async () =>
        (await queue.sql`select failures, due_seconds from keepstream.source_lists where provider = 'animasu'`)[0]!;
      for (const [index, most] of [30, 60, 120, 240, 480, 900, 900].entries()) {
        await saveSources(queue, { animasu: failed });
        const { failures, due_seconds } = await due();
        assert.equal(failures, index + 1);
        assert.ok(due_seconds >= most / 2 && due_seconds <= most, `${due_seconds} of ${most}`);
      }
      const list = ((await readEpisode(queue))["source_lists"] as Record<string, Row>)["animasu"]!;
      assert.ok((list["due_in_seconds"] as number) > 400);
      const seen = new Set<number>();
      for (let turn = 0; turn < 8; turn++) {
        await saveSources(queue, { animasu: failed });
        seen.add((await due())["due_seconds"]);
      }
      assert.ok(seen.size > 1, "jitter");
      await saveSources(queue, { animasu: { ...failed, retry_after_seconds: 2000 } });
      assert.equal((await due())["due_seconds"], 2000, "Retry-After counts");
      await saveSources(queue, { animasu: { ...failed, retry_after_seconds: 99999 } });
      assert.equal((await due())["due_seconds"], 3600, "but at most an hour");
      await saveSources(queue, { animasu: { state: "ok", servers: [] } });
      assert.deepEqual({ ...await due() }, { failures: 0, due_seconds: 1200 });
      await saveSources(queue, { animasu: { state: "empty", code: "empty" } });
      assert.equal((await due())["failures"], 1);
    },
  },
  {
    name: "failing site: three failures in a row → open circuit, one read",
    async run(queue) {
      await applyProviders(queue, [ANIMASU, SAMEHADAKU]);
      const fail = (episode: number, code = "timeout") =>
        queue.rpc("save_sources", { mal_id: 1, episode, lists: { animasu: { state: "failed", code } } });
      const openCircuits = async () => (await readEpisode(queue))["open_circuits"] as Record<string, Row>;
      const sourceReads = async (episode: number) =>
        (await readEpisode(queue, { episode, reader_seconds: 20 }))["source_reads"];
      await fail(1);
      await fail(2, "network");
      assert.deepEqual(await openCircuits(), {});
      await fail(3, "http_5xx");
      const animasu = (await openCircuits())["animasu"]!;
      assert.equal(animasu["code"], "http_5xx");
      assert.ok((animasu["due_in_seconds"] as number) >= 14 && (animasu["due_in_seconds"] as number) <= 30);
      assert.deepEqual(await sourceReads(9), { samehadaku: true }, "not due: no read is claimed");
      await fail(4, "blocked");
      assert.ok(((await openCircuits())["animasu"]!["due_in_seconds"] as number) >= 29);

      await queue.sql`update keepstream.provider_health set due_at = now() - interval '1 second' where true`;
      assert.deepEqual(await sourceReads(10), { animasu: true, samehadaku: true });
      assert.deepEqual(await sourceReads(11), { animasu: false, samehadaku: true }, "one read is enough");
      await fail(10);
      assert.deepEqual(await sourceReads(12), { samehadaku: true });
      for (let turn = 0; turn < 30; turn++) await fail(20 + turn);
      assert.ok(((await openCircuits())["animasu"]!["due_in_seconds"] as number) <= 900);

      await fail(5, "robots");
      await fail(5, "no_mapping");
      assert.ok((await openCircuits())["animasu"], "the site was not requested");
      await fail(5, "http_4xx");
      assert.deepEqual(await openCircuits(), {}, "the site responds");
      for (const code of ["parse", "too_large", "policy_denied", "busy", "busy", "busy"]) await fail(6, code);
      assert.deepEqual(await openCircuits(), {});
      for (const episode of [1, 2, 3]) await fail(episode);
      await queue.rpc("save_sources", { mal_id: 1, episode: 4, lists: { animasu: { state: "ok" } } });
      assert.deepEqual(await openCircuits(), {});
    },
  },
  {
    name: "source list: of another title, episode, provider → not used",
    async run(queue) {
      await save(queue, "stranger", { state: "ok" });
      assert.deepEqual((await read(queue)).source_reads, { animasu: true, samehadaku: true });
      for (const { name } of PROVIDERS) await save(queue, name, { state: "ok" });
      assert.deepEqual((await read(queue)).source_reads, {});
      assert.deepEqual((await read(queue, { episode: 2 })).source_reads, { animasu: true, samehadaku: true });
      assert.deepEqual((await read(queue, { mal_id: 2, reader_seconds: 0 })).source_reads, {});
      assert.deepEqual((await read(queue, { mal_id: 2, reader_seconds: 1 })).source_reads, {
        animasu: true,
        samehadaku: true,
      });
    },
  },
  {
    name: "source list: due by its time; circuit: by its last failure",
    async run(queue) {
      await fail(queue, "animasu", 3);
      await save(queue, "samehadaku", { state: "ok" });
      const age = (minutes: number) =>
        queue.sql`update keepstream.source_lists set fetched_at = now() - make_interval(mins => ${minutes}) where true`;
      await age(19);
      const early = await read(queue);
      assert.deepEqual(early.source_reads, {});
      assert.ok(Math.abs((early.source_lists["samehadaku"]!["due_in_seconds"] as number) - 60) < 30);
      await age(21);
      assert.deepEqual((await read(queue)).source_reads, { samehadaku: true });
      await queue.sql`update keepstream.provider_health set failed_at = now() - interval '1 hour' where true`;
      await fail(queue, "animasu", 1);
      assert.ok(((await read(queue)).open_circuits["animasu"]!["age_seconds"] as number) < 600);
    },
  },
  {
    name: "open circuit: one read for all titles, ended by any list",
    async run(queue) {
      await fail(queue, "animasu", 3);
      await queue.sql`update keepstream.provider_health set due_at = now() - interval '1 second' where true`;
      assert.equal((await read(queue, { mal_id: 7, episode: 9 })).source_reads["animasu"], true);
      const claims = () =>
        queue.sql`select mal_id, episode from keepstream.source_reads where provider = 'animasu'`.then((rows) =>
          rows.map((row) => [row["mal_id"], row["episode"]])
        );
      assert.deepEqual(await claims(), [[0, 0]]);
      await save(queue, "animasu", { state: "ok" }, { mal_id: 7, episode: 9 });
      assert.deepEqual(await claims(), []);
    },
  },
  {
    name: "claim: waited for another reader's list → nothing to read",
    async run(queue) {
      await read(queue);
      const lists = Object.fromEntries(PROVIDERS.map(({ name }) => [name, { state: "ok" }]));
      const row = await queue.collide(
        (sql) => sql`select public.save_sources(1, 1, ${sql.json(lists)})`,
        () => read(queue),
      ) as EpisodeRow;
      assert.deepEqual(row.source_reads, {});
    },
  },
  {
    name: "end_source_reads: locks claims in the order of claims",
    async run(queue) {
      await read(queue);
      // The first by name is the last in the table.
      await queue
        .sql`update keepstream.source_reads set until = until + interval '1 second' where provider = 'animasu'`;
      const other = queue.connect("postgres");
      await other`begin`;
      await other`select from keepstream.source_reads where provider = 'animasu' for update`;
      const lists = Object.fromEntries(PROVIDERS.map(({ name }) => [name, { state: "ok" }]));
      const saved = outcome(queue.rpc("save_sources", { mal_id: 1, episode: 1, lists }));
      await queue.untilWaiting(1);
      const second = other`select from keepstream.source_reads where provider = 'samehadaku' for update nowait`;
      const free = await outcome(second);
      await other`rollback`;
      assert.deepEqual([free, await saved], ["accepted", "accepted"]);
    },
  },
  {
    name: "provider changed → its circuit closes, no other",
    async run(queue) {
      await apply(queue, PROVIDERS);
      for (const { name } of PROVIDERS) await fail(queue, name, 3);
      assert.deepEqual(Object.keys((await read(queue)).open_circuits), ["animasu", "samehadaku"]);
      await apply(queue, [{ ...PROVIDERS[0], base_url: "https://moved.test" }, PROVIDERS[1]!]);
      assert.deepEqual(Object.keys((await read(queue)).open_circuits), ["samehadaku"]);
    },
  },
  {
    name: "ages: to the millisecond",
    async run(queue) {
      await fail(queue, "animasu", 3);
      const digits = (age: unknown) => String(age).split(".")[1]?.length ?? 0;
      const seen: [number, number][] = [];
      for (let turn = 0; turn < 6; turn++) {
        const { source_lists, open_circuits } = await read(queue);
        seen.push([digits(source_lists["animasu"]!["age_seconds"]), digits(open_circuits["animasu"]!["age_seconds"])]);
      }
      assert.deepEqual([0, 1].map((at) => Math.max(...seen.map((pair) => pair[at]!))), [3, 3]);
    },
  },
  {
    name: "sweep: expired reads → deleted; running ones → kept",
    async run(queue) {
      await read(queue);
      await queue
        .sql`update keepstream.source_reads set until = now() - interval '1 second' where provider = 'animasu'`;
      await queue.rpc("sweep");
      const left = await queue.sql`select provider from keepstream.source_reads`;
      assert.deepEqual(left.map((row) => row["provider"]), ["samehadaku"]);
    },
  },
  {
    name: "renew_source_reads: extends, never shortens or creates",
    async run(queue) {
      await fail(queue, "samehadaku", 3);
      await queue.sql`update keepstream.provider_health set due_at = now() - interval '1 second' where true`;
      const renew = async (more: Row = {}) => {
        const args = { mal_id: 1, episode: 9, providers: ["animasu", "samehadaku"], reader_seconds: 5, ...more };
        return (await queue.rpc("renew_source_reads", args))[0]!["renew_source_reads"];
      };
      const left = async () =>
        (await queue.sql`
          select provider, round(extract(epoch from until - now()) / 10)::int as tens from keepstream.source_reads order by provider`)
          .map((row) => [row["provider"], row["tens"]]);
      assert.equal(await renew(), 0);
      assert.deepEqual(await left(), []);
      await read(queue, { episode: 9, reader_seconds: 5 });
      await queue.sql`update keepstream.source_reads set until = now() + interval '1 second' where true`;
      assert.equal(await renew({ episode: 8, providers: ["animasu"] }), 0, "another episode's");
      assert.equal(await renew({ reader_seconds: 30 }), 2);
      assert.deepEqual(await left(), [["animasu", 3], ["samehadaku", 3]]);
      assert.equal(await renew({ reader_seconds: 1, providers: ["animasu"] }), 1);
      assert.equal(await renew({ reader_seconds: 9999, providers: ["samehadaku"] }), 1);
      assert.deepEqual(await left(), [["animasu", 3], ["samehadaku", 6]]);
    },
  },
  {
    name: "renew_source_reads: locked rows → skipped without waiting",
    async run(queue) {
      await read(queue);
      const other = queue.connect("postgres");
      await other`begin`;
      await other`select from keepstream.source_reads where provider = 'animasu' for update`;
      const args = { mal_id: 1, episode: 1, providers: ["animasu", "samehadaku"], reader_seconds: 5 };
      assert.equal((await queue.rpc("renew_source_reads", args))[0]!["renew_source_reads"], 1);
      await other`rollback`;
    },
  },
  {
    name: "save_sources: a read older than the list → no change",
    async run(queue) {
      const server = (host: string) => ({
        embed_url: `https://${host}.test/`,
        video_url: `https://${host}.test/v.mp4`,
      });
      const kept = async () => {
        const { source_lists, open_circuits } = await read(queue, { reader_seconds: 0 });
        const { state, servers } = source_lists["animasu"]!;
        return [state, (servers as Row[]).map((one) => one["embed_url"]), Object.keys(open_circuits)];
      };
      const jobs = async () => (await queue.sql`select from public.video_queue`).length;
      await save(queue, "animasu", { state: "ok", servers: [server("young")] });
      await read(queue, { refresh: true });
      const young = ["ok", ["https://young.test/"], []];
      await queue.sql`insert into keepstream.source_reads values ('animasu', 1, 1, now() + interval '5 seconds')`;
      for (const state of ["failed", "timeout", "empty"]) {
        await save(queue, "animasu", { state, code: "timeout", age_seconds: 20 });
      }
      assert.deepEqual(await kept(), young);
      await save(queue, "animasu", { state: "ok", servers: [server("old")], age_seconds: 20 });
      assert.deepEqual([await kept(), await jobs()], [young, 1]);
      assert.equal((await queue.sql`select from keepstream.source_reads where provider = 'animasu'`).length, 1);
      assert.equal((await queue.sql`select from keepstream.provider_health`).length, 0);

      await save(queue, "animasu", { state: "failed", code: "timeout" });
      assert.deepEqual(await kept(), ["failed", ["https://young.test/"], []], "a newer failure counts");
      await save(queue, "animasu", { state: "ok", servers: [server("old")], age_seconds: 20 });
      assert.deepEqual(await kept(), ["ok", ["https://old.test/"], []], "a list replaces any failure");
      const list = (await read(queue, { reader_seconds: 0 })).source_lists["animasu"]!;
      assert.ok(
        (list["age_seconds"] as number) >= 20 && (list["due_in_seconds"] as number) <= 1180,
        "as old as its read",
      );
    },
  },
  {
    name: "episode taken down → neither claimed nor saved",
    async run(queue) {
      await queue.rpc("takedown", { mal_id: 1, episode: 1 });
      const taken = await read(queue) as EpisodeRow & { taken_down: boolean };
      assert.deepEqual([taken.taken_down, taken.source_reads], [true, {}]);
      await save(queue, "animasu", { state: "ok" });
      assert.deepEqual((await read(queue)).source_lists, {});
      assert.deepEqual((await read(queue, { episode: 2 })).source_reads, { animasu: true, samehadaku: true });
    },
  },
];
