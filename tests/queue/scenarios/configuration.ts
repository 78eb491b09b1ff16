/** What the operator configures: providers, catalogue, mappings; and the metadata cache. */
import assert from "node:assert/strict";
import { ANIMASU, applyProviders, readEpisode, SAMEHADAKU } from "../fixture/episodes.ts";
import type { Scenario } from "../fixture/queue_fixture.ts";
import { outcome, type Row } from "../fixture/rpc.ts";

export const CONFIGURATION: readonly Scenario[] = [
  {
    name: "qualities: of the provider, otherwise of the settings",
    async run(queue) {
      const read = async (provider: string) => (await queue.rpc("read_qualities", { provider }))[0]!["read_qualities"];
      await applyProviders(queue, [{ ...ANIMASU, qualities: "720,360" }, SAMEHADAKU]);
      assert.deepEqual([await read("animasu"), await read("samehadaku"), await read("?")], [
        "720,360",
        "label",
        "label",
      ]);
      await queue.sql`update keepstream.settings set qualities = 'all' where singleton`;
      try {
        assert.deepEqual([await read("animasu"), await read("samehadaku")], ["720,360", "all"]);
      } finally {
        await queue.sql`update keepstream.settings set qualities = 'label' where singleton`;
      }
      const again = await applyProviders(queue, [ANIMASU, SAMEHADAKU], true);
      assert.deepEqual(again["changed"], ["animasu"]);
      for (const qualities of ["best", "720p", "720,", "7", "", "720,99999", "all,720"]) {
        const entries = [{ ...ANIMASU, qualities }];
        assert.equal(await queue.refusal("apply_providers", { entries, dry_run: false }), "PT400", qualities);
        assert.equal(
          await outcome(queue.sql`update public.providers set qualities = ${qualities} where name = 'animasu'`),
          "23514",
        );
      }
    },
  },
  {
    name: "import_catalogue: known entries → unchanged; the last key wins",
    async run(queue) {
      const sources = (url: string) => [{ url: `https://o.test/${url}` }];
      const entry = (title: string) => ({ mal_id: 1, episode: 1, title, sources: sources(title), rights: "CC BY" });
      const imported = async (titles: readonly string[], dry_run: boolean) => {
        const [row] = await queue.rpc("import_catalogue", { entries: titles.map(entry), dry_run });
        const { changed, unchanged } = row!["import_catalogue"] as Row;
        return [changed, unchanged];
      };
      await imported(["B"], false);
      for (const dry_run of [true, false]) {
        assert.deepEqual(await imported(["A", "B"], dry_run), [0, 1]);
        assert.deepEqual(await imported(["B", "A"], true), [1, 0]);
      }
      await imported(["C"], false);
      const [row] = await queue.sql`select title, sources from public.catalogue`;
      assert.deepEqual({ ...row }, { title: "C", sources: sources("C") });
    },
  },
  {
    name: "changed provider, mapping, catalogue → its lists invalidated",
    async run(queue) {
      const own = { name: "own", recipe: "catalogue" };
      await applyProviders(queue, [ANIMASU, SAMEHADAKU, own]);
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
      await applyProviders(queue, [ANIMASU, SAMEHADAKU, own]);
      assert.deepEqual(await kept(), without(), "an unchanged list");
      await applyProviders(queue, [SAMEHADAKU, ANIMASU, own]);
      assert.deepEqual(await kept(), without(), "another order");
      for (
        const change of [{ base_url: "https://moved.test" }, { rights: "other" }, { selectors: {} }, { enabled: false }]
      ) {
        await applyProviders(queue, [SAMEHADAKU, { ...ANIMASU, ...change }, own]);
        assert.deepEqual(await kept(), without(/animasu/), JSON.stringify(change));
        await applyProviders(queue, [SAMEHADAKU, ANIMASU, own]);
        await fill();
      }
      await applyProviders(queue, [ANIMASU, own]);
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
    name: "rights missing or withdrawn → nothing enqueued, jobs end",
    async run(queue) {
      await applyProviders(queue, [ANIMASU, SAMEHADAKU, { name: "catalogue", recipe: "catalogue" }]);
      assert.equal(await outcome(queue.enqueue({ provider: "samehadaku" })), "PT403");
      assert.equal(await outcome(queue.enqueue({ provider: "stranger" })), "PT403", "no entry, no rights");
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
        "another episode's rights",
      );
      const kept = await queue.enqueue({ provider: "catalogue", episode: 1 });
      await applyProviders(queue, [{ ...ANIMASU, rights: null }, SAMEHADAKU, {
        name: "catalogue",
        recipe: "catalogue",
      }]);
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
      await applyProviders(queue, [{ ...ANIMASU, enabled: false }]);
      assert.equal(await outcome(queue.enqueue()), "PT403");
      await applyProviders(queue, [ANIMASU]);
      const orphan = await queue.enqueue();
      await applyProviders(queue, []);
      assert.equal(
        (await queue.row(orphan["id"]))["error_class"],
        "policy_denied",
        "the rights are gone with the entry",
      );
    },
  },
  {
    name: "apply_providers: a list → equal to it; dry run → no change",
    async run(queue) {
      const names = async () =>
        (await queue.sql`select name from public.providers order by position`).map((row) => row["name"]);
      await queue.sql`delete from public.providers where true`;
      assert.deepEqual(await applyProviders(queue, [ANIMASU, SAMEHADAKU], true), {
        added: ["animasu", "samehadaku"],
        changed: [],
        removed: [],
        unchanged: [],
        dry_run: true,
      });
      assert.deepEqual(await names(), []);
      await applyProviders(queue, [ANIMASU, SAMEHADAKU]);
      assert.deepEqual(await names(), ["animasu", "samehadaku"]);
      const places = await queue.sql`select position from public.providers order by name`;
      assert.deepEqual(places.map((row) => row["position"]), [0, 1]);
      assert.deepEqual(await applyProviders(queue, [ANIMASU, SAMEHADAKU], true), {
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
      assert.deepEqual(await applyProviders(queue, next), {
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
      await applyProviders(queue, []);
      assert.deepEqual(await names(), []);
    },
  },
  {
    name: "import_catalogue: entries → added or changed, never removed",
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
    name: "save_title_mapping: search → kept; operator's → never replaced",
    async run(queue) {
      const keep = async (more: Row) =>
        (await queue.rpc("save_title_mapping", {
          mal_id: 55825,
          provider: "animasu",
          mapping: { slug: "found" },
          ...more,
        }))[0]!["save_title_mapping"];
      const mapping = async () => ((await readEpisode(queue))["mappings"] as Record<string, Row>)["animasu"];
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
    name: "save_metadata: within its ttl → read_metadata returns it",
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
