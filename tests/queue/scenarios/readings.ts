/** Who reads a provider's pages: one at a time per episode, one for all episodes of a site in trouble. */
import assert from "node:assert/strict";
import type { QueueFixture, Scenario } from "../queue_fixture.ts";
import { outcome, type Row } from "../rpc.ts";

type Answer = Record<"readings" | "source_lists" | "trouble", Record<string, Row>>;

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

export const READINGS: readonly Scenario[] = [
  {
    name: "another title's, episode's or provider's list is no list of this one; an old one is due",
    async run(queue) {
      await save(queue, "stranger", { state: "ok" });
      assert.deepEqual((await read(queue)).readings, { animasu: true, samehadaku: true });
      for (const { name } of PROVIDERS) await save(queue, name, { state: "ok" });
      assert.deepEqual((await read(queue)).readings, {});
      assert.deepEqual((await read(queue, { episode: 2 })).readings, { animasu: true, samehadaku: true });
      assert.deepEqual((await read(queue, { mal_id: 2, reader_seconds: 0 })).readings, {});
      assert.deepEqual((await read(queue, { mal_id: 2, reader_seconds: 1 })).readings, {
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
      assert.deepEqual(early.readings, {});
      assert.ok(Math.abs((early.source_lists["samehadaku"]!["due_in_seconds"] as number) - 60) < 30);
      await age(21);
      assert.deepEqual((await read(queue)).readings, { samehadaku: true });
      await queue.sql`update keepstream.provider_trouble set failed_at = now() - interval '1 hour' where true`;
      await fail(queue, "animasu", 1);
      assert.ok(((await read(queue)).trouble["animasu"]!["age_seconds"] as number) < 600);
    },
  },
  {
    name: "the look at a site in trouble is claimed for all titles and episodes, and ends with any of its lists",
    async run(queue) {
      await fail(queue, "animasu", 3);
      await queue.sql`update keepstream.provider_trouble set due_at = now() - interval '1 second' where true`;
      assert.equal((await read(queue, { mal_id: 7, episode: 9 })).readings["animasu"], true);
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
      assert.deepEqual(answer.readings, {});
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
      assert.deepEqual(Object.keys((await read(queue)).trouble), ["animasu", "samehadaku"]);
      await apply(queue, [{ ...PROVIDERS[0], base_url: "https://moved.test" }, PROVIDERS[1]!]);
      assert.deepEqual(Object.keys((await read(queue)).trouble), ["samehadaku"]);
    },
  },
  {
    name: "ages are told to the millisecond",
    async run(queue) {
      await fail(queue, "animasu", 3);
      const digits = (age: unknown) => String(age).split(".")[1]?.length ?? 0;
      const seen: [number, number][] = [];
      for (let turn = 0; turn < 6; turn++) {
        const { source_lists, trouble } = await read(queue);
        seen.push([digits(source_lists["animasu"]!["age_seconds"]), digits(trouble["animasu"]!["age_seconds"])]);
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
];
