import assert from "node:assert/strict";
import type { EpisodeRequest } from "../../sources/providers/recipe.ts";
import type { SourceList } from "../../sources/source_list.ts";
import { type EpisodeStore, StoreError } from "./episode_store.ts";
import { createGatherer, type Reading, type Seen } from "./gather.ts";

const KEY = { malId: 1, episode: 1 };
const LIST: SourceList = { state: "ok", code: null, servers: [] };

function request(name: string): Reading {
  const provider = { name, recipe: "catalogue", base_url: null, config: {} };
  return { request: { ...KEY, provider, page: null, catalogue: null } satisfies EpisodeRequest };
}

/** Providers answer when the test says so; saves and background work are recorded. */
function rig(options: { budgetMs?: number; saveFails?: boolean; refuses?: string; seen?: readonly Seen[] } = {}) {
  const answers = new Map<string, PromiseWithResolvers<SourceList>>();
  const started: string[] = [];
  const saved: string[][] = [];
  const background: Promise<unknown>[] = [];
  const errors: string[] = [];
  const looks = [...options.seen ?? []];
  let lookCount = 0;
  const store: EpisodeStore = {
    readEpisode: () => Promise.reject(new Error("not asked here")),
    saveSources(_key, lists) {
      saved.push(Object.keys(lists));
      if (options.refuses !== undefined && options.refuses in lists) {
        return Promise.reject(new StoreError("save_sources: unsupported Unicode escape sequence", "22P05"));
      }
      if (options.saveFails) return Promise.reject(new Error("database is down"));
      return Promise.resolve([{ provider: "a", resolution: null, status: "pending" }]);
    },
  };
  const gatherer = createGatherer({
    store,
    collect({ provider }, { signal }) {
      started.push(provider.name);
      const answer = Promise.withResolvers<SourceList>();
      signal.addEventListener("abort", () => answer.reject(signal.reason));
      answers.set(provider.name, answer);
      return answer.promise;
    },
    look() {
      lookCount++;
      return Promise.resolve(looks.shift() ?? { kind: "elsewhere" });
    },
    dueSeconds: () => 7,
    budgetMs: () => options.budgetMs ?? 60_000,
    limitMs: 120_000,
    now: () => 0,
    background: (work) => void background.push(work),
    onError: (event) => void errors.push(event),
  });
  const answer = (name: string) => answers.get(name)!.resolve(LIST);
  return { gatherer, answer, started, saved, errors, looked: () => lookCount, settled: () => Promise.all(background) };
}

Deno.test("a hundred requests at once → each provider is read once and saved with one call", async () => {
  const { gatherer, answer, started, saved, settled } = rig();
  const all = Array.from({ length: 100 }, () => gatherer.gather(KEY, [request("a"), request("b")]));
  answer("a");
  answer("b");
  for (const { lists, queue } of await Promise.all(all)) {
    assert.deepEqual([...lists.keys()].sort(), ["a", "b"]);
    assert.equal(queue?.length, 1);
  }
  assert.deepEqual(started, ["a", "b"]);
  assert.deepEqual(saved.map((names) => names.sort()), [["a", "b"]]);
  await settled();
});

Deno.test("what is under way is joined, what is not is started", async () => {
  const { gatherer, answer, started, settled } = rig();
  const first = gatherer.gather(KEY, [request("a")]);
  const second = gatherer.gather(KEY, [request("a"), request("b")]);
  answer("a");
  answer("b");
  assert.deepEqual([...(await first).lists.keys()], ["a"]);
  assert.deepEqual([...(await second).lists.keys()].sort(), ["a", "b"]);
  assert.deepEqual(started, ["a", "b"]);
  await settled();
});

Deno.test("a provider that outlasts the budget is left out, finishes in the background and is saved then", async () => {
  const { gatherer, answer, saved, started, settled } = rig({ budgetMs: 30 });
  const gathering = gatherer.gather(KEY, [request("quick"), request("slow")]);
  answer("quick");
  assert.deepEqual([...(await gathering).lists.keys()], ["quick"]);
  const joining = await gatherer.gather(KEY, [request("slow")]);
  assert.deepEqual([...joining.lists.keys()], ["quick"]); // still under way: not asked a second time
  answer("slow");
  await settled();
  assert.deepEqual(saved, [["quick"], ["slow"]]);
  assert.deepEqual(started, ["quick", "slow"]);
});

Deno.test("once a reading has ended, the next request reads again", async () => {
  const { gatherer, answer, started, settled } = rig();
  const first = gatherer.gather(KEY, [request("a")]);
  answer("a");
  await first;
  await settled();
  const second = gatherer.gather(KEY, [request("a")]);
  answer("a");
  await second;
  await settled();
  assert.deepEqual(started, ["a", "a"]);
});

Deno.test("when saving fails the answer is given all the same, and the failure is reported", async () => {
  const { gatherer, answer, errors, settled } = rig({ saveFails: true });
  const gathering = gatherer.gather(KEY, [request("a")]);
  answer("a");
  const { lists, queue } = await gathering;
  assert.deepEqual([lists.size, queue], [1, null]);
  assert.deepEqual(errors, ["sources:save:failed"]);
  await settled();
});

Deno.test("a list that the database refuses does not cost the others theirs", async () => {
  const { gatherer, answer, saved, errors, settled } = rig({ refuses: "b" });
  const gathering = gatherer.gather(KEY, ["a", "b", "c"].map(request));
  for (const name of ["a", "b", "c"]) answer(name);
  const { lists, queue } = await gathering;
  assert.deepEqual([lists.size, queue?.length], [3, 1]);
  assert.deepEqual(saved, [["a", "b", "c"], ["a"], ["b"], ["c"]]);
  assert.equal(errors.length, 2);
  await settled();
});

Deno.test("what another isolate reads is waited for, taken as that has saved it, and neither read nor saved again", async () => {
  const queue = [{ provider: "a", resolution: null, status: "ready" }];
  const { gatherer, started, saved, settled } = rig({
    seen: [{ kind: "elsewhere" }, { kind: "list", list: LIST, queue }],
  });
  const gathered = await gatherer.gather(KEY, [{ ...request("a"), elsewhere: true }]);
  assert.deepEqual([gathered.lists.get("a")?.list, gathered.queue, gathered.roundTrips], [LIST, queue, 2]);
  assert.deepEqual([started, saved], [[], []]);
  await settled();
});

Deno.test("what another isolate reads for longer than the budget is no longer looked for once nobody waits", async () => {
  const { gatherer, looked, settled } = rig({ budgetMs: 400 });
  assert.equal((await gatherer.gather(KEY, [{ ...request("a"), elsewhere: true }])).lists.size, 0);
  const looks = looked();
  assert.ok(looks >= 1);
  await settled(); // the timers of the test runner would tell of one that goes on
  assert.equal(looked(), looks);
});

Deno.test("what another isolate began and never saved is read here", async () => {
  const { gatherer, answer, started, saved, settled } = rig({ seen: [{ kind: "elsewhere" }, { kind: "ours" }] });
  const gathering = gatherer.gather(KEY, [{ ...request("a"), elsewhere: true }]);
  while (started.length === 0) await new Promise((resolve) => setTimeout(resolve, 10));
  answer("a");
  assert.equal((await gathering).lists.size, 1);
  assert.deepEqual([started, saved], [["a"], [["a"]]]);
  await settled();
});
