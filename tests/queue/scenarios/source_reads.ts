/** Who reads a provider's pages: one at a time per episode, one for all episodes of a site in trouble. */
import assert from "node:assert/strict";
import type { QueueFixture, Scenario } from "../fixture/queue_fixture.ts";
import { outcome, type Row } from "../fixture/rpc.ts";

type Answer = Record<"source_reads" | "source_lists" | "open_circuits", Record<string, Row>>;

const read = async (queue: QueueFixture, more: Row = {}) =>
  (await queue.rpc<{ read_episode: Answer }>("read_episode", { mal_id: 1, episode: 1, reader_seconds: 20, ...more }))[
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
    name: "another title's, episode's or provider's list is no list of this one; an old one is due",
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
    name:
      "a list is due when its time is over, and says in how long that is; a site's trouble is as old as its last failure",
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
    name: "the look at a site in trouble is claimed for all titles and episodes, and ends with any of its lists",
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
    name: "a claim that waited for another's list → nothing is left to read",
    async run(queue) {
      await read(queue);
      const lists = Object.fromEntries(PROVIDERS.map(({ name }) => [name, { state: "ok" }]));
      const answer = await queue.collide(
        (sql) => sql`select public.save_sources(1, 1, ${sql.json(lists)})`,
        () => read(queue),
      ) as Answer;
      assert.deepEqual(answer.source_reads, {});
    },
  },
  {
    name:
      "a save ends its readings in the order in which they are claimed: it waits for the first before it locks the second",
    async run(queue) {
      await read(queue);
      // The first in the order of names is the last in the table.
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
    name: "an operator's change of a provider ends its trouble, not another's",
    async run(queue) {
      await apply(queue, PROVIDERS);
      for (const { name } of PROVIDERS) await fail(queue, name, 3);
      assert.deepEqual(Object.keys((await read(queue)).open_circuits), ["animasu", "samehadaku"]);
      await apply(queue, [{ ...PROVIDERS[0], base_url: "https://moved.test" }, PROVIDERS[1]!]);
      assert.deepEqual(Object.keys((await read(queue)).open_circuits), ["samehadaku"]);
    },
  },
  {
    name: "ages are told to the millisecond",
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
    name: "sweep drops readings that ran out, and keeps those under way",
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
    name: "renew_source_reads keeps claims, and never shortens or makes one",
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
    name: "renew_source_reads waits for nobody",
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
    name: "a read that began before the list that is kept → changes nothing",
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
      assert.deepEqual(await kept(), ["failed", ["https://young.test/"], []], "a younger failure counts");
      await save(queue, "animasu", { state: "ok", servers: [server("old")], age_seconds: 20 });
      assert.deepEqual(await kept(), ["ok", ["https://old.test/"], []], "a list is better than any failure");
      const list = (await read(queue, { reader_seconds: 0 })).source_lists["animasu"]!;
      assert.ok(
        (list["age_seconds"] as number) >= 20 && (list["due_in_seconds"] as number) <= 1180,
        "as old as its read",
      );
    },
  },
  {
    name: "what is taken down is neither claimed nor kept",
    async run(queue) {
      await queue.rpc("takedown", { mal_id: 1, episode: 1 });
      const taken = await read(queue) as Answer & { taken_down: boolean };
      assert.deepEqual([taken.taken_down, taken.source_reads], [true, {}]);
      await save(queue, "animasu", { state: "ok" });
      assert.deepEqual((await read(queue)).source_lists, {});
      assert.deepEqual((await read(queue, { episode: 2 })).source_reads, { animasu: true, samehadaku: true });
    },
  },
];
