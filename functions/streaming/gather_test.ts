import assert from "node:assert/strict";
import type { EpisodeRequest } from "../../sources/providers/recipe.ts";
import type { SourceList } from "../../sources/source_list.ts";
import { type Episode, type EpisodeStore, StoreError } from "./episode_store.ts";
import { createGatherer, type Reading } from "./gather.ts";

const KEY = { malId: 1, episode: 1 };
const LIST: SourceList = { state: "ok", code: null, servers: [] };

const providerOf = (name: string) => ({ name, recipe: "catalogue", base_url: null, config: {} });

function request(name: string): Reading {
  return { request: { ...KEY, provider: providerOf(name), page: null, catalogue: null } satisfies EpisodeRequest };
}

const elsewhere = (name: string): Reading => ({ ...request(name), elsewhere: true });

type Look = Pick<Partial<Episode>, "source_lists" | "queue"> & { readonly readings: Episode["readings"] };

const ALL_ELSEWHERE: Look = { readings: { a: false, b: false, c: false, d: false } };

/** What the database says: providers are those it has readings of, and `a` to `d`. */
function episodeOf(look: Look): Episode {
  const names = new Set(["a", "b", "c", "d", ...Object.keys(look.readings)]);
  return {
    ...{ providers: [...names].map(providerOf), catalogue: null, mappings: {}, trouble: {}, store: [] },
    ...{ source_lists: {}, queue: [], ...look },
  };
}

/** Providers answer when the test says so; saves and background work are recorded. */
function rig(options: { budgetMs?: number; saveFails?: boolean; refuses?: string; looks?: readonly Look[] } = {}) {
  const answers = new Map<string, PromiseWithResolvers<SourceList>>();
  const started: string[] = [];
  const saved: string[][] = [];
  const background: Promise<unknown>[] = [];
  const errors: string[] = [];
  const looks = [...options.looks ?? []];
  let lookCount = 0;
  const store: EpisodeStore = {
    readEpisode() {
      lookCount++;
      return Promise.resolve(episodeOf(looks.shift() ?? ALL_ELSEWHERE));
    },
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
    dueSeconds: () => 7,
    budgetMs: () => options.budgetMs ?? 60_000,
    limitMs: 120_000,
    now: () => 0,
    background: (work) => void background.push(work),
    onError: (event) => void errors.push(event),
  });
  const answer = (name: string) => answers.get(name)!.resolve(LIST);
  const begun = async (...names: string[]) => {
    for (let turn = 0; !names.every((name) => started.includes(name)); turn++) {
      assert.ok(turn < 1000, `begun: ${started}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  };
  const settled = async () => {
    for (let seen = -1; seen < background.length;) await Promise.all(background.slice(0, seen = background.length));
  };
  return { gatherer, answer, begun, started, saved, errors, looked: () => lookCount, settled };
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
  const list = { ...LIST, age_seconds: 0, due_in_seconds: 9 };
  const { gatherer, started, saved, settled } = rig({
    looks: [{ readings: { a: false } }, { readings: {}, source_lists: { a: list }, queue }],
  });
  const gathered = await gatherer.gather(KEY, [elsewhere("a")]);
  assert.deepEqual([gathered.lists.get("a")?.list, gathered.queue, gathered.roundTrips], [list, queue, 2]);
  assert.deepEqual([started, saved], [[], []]);
  await settled();
});

Deno.test("what another isolate reads for longer than the budget is no longer looked for once nobody waits", async () => {
  const { gatherer, looked, settled } = rig({ budgetMs: 400 });
  assert.equal((await gatherer.gather(KEY, [elsewhere("a")])).lists.size, 0);
  const looks = looked();
  assert.ok(looks >= 1);
  await settled(); // the timers of the test runner would tell of one that goes on
  assert.equal(looked(), looks);
});

Deno.test("four providers that others read are looked for with one call, and less and less often", async () => {
  const { gatherer, looked, settled } = rig({ budgetMs: 1_400 });
  await gatherer.gather(KEY, ["a", "b", "c", "d"].map(elsewhere));
  assert.ok(looked() >= 1 && looked() <= 4, `${looked()} looks`); // after 150, 375, 712, 1219 ms
  await settled();
});

Deno.test("what another isolate began and never saved is read here: every claim that one look brings", async () => {
  const { gatherer, answer, begun, looked, started, saved, settled } = rig({
    looks: [ALL_ELSEWHERE, { readings: { a: true, b: true, c: true, d: true } }],
  });
  const gathering = gatherer.gather(KEY, ["a", "b", "c", "d"].map(elsewhere));
  await begun("a", "b", "c", "d");
  for (const name of started) answer(name);
  assert.equal((await gathering).lists.size, 4);
  assert.deepEqual([looked(), saved], [2, [["a", "b", "c", "d"]]]);
  await settled();
});

Deno.test("a claim that a look brings of a provider nobody waits for → read behind the answer, and saved", async () => {
  const list = { ...LIST, age_seconds: 0, due_in_seconds: 9 };
  const { gatherer, answer, begun, saved, settled } = rig({
    looks: [{ readings: { other: true }, source_lists: { a: list } }],
  });
  assert.deepEqual([...(await gatherer.gather(KEY, [elsewhere("a")])).lists.keys()], ["a"]);
  await begun("other");
  answer("other");
  await settled();
  assert.deepEqual(saved, [["other"]]);
});

Deno.test("a claim that one request is given while another waits for that provider → read for both", async () => {
  const { gatherer, answer, begun, saved, settled } = rig();
  const waiting = gatherer.gather(KEY, [elsewhere("a"), elsewhere("b")]);
  const given = gatherer.gather(KEY, [request("a"), request("b")]);
  await begun("a", "b");
  answer("a");
  answer("b");
  for (const { lists } of await Promise.all([waiting, given])) assert.deepEqual([...lists.keys()], ["a", "b"]);
  assert.deepEqual(saved, [["a", "b"]]);
  await settled();
});

Deno.test("a claim that comes while another of the answer's providers is still being read → read at once", async () => {
  const { gatherer, answer, begun, started, saved, settled } = rig({ budgetMs: 30 });
  const first = gatherer.gather(KEY, [request("a"), request("slow"), elsewhere("b")]);
  answer("a");
  await first; // slow goes on
  await new Promise((resolve) => setTimeout(resolve));
  void gatherer.gather(KEY, [request("a"), request("b")]);
  await begun("b");
  assert.deepEqual(started, ["a", "slow", "a", "b"]);
  for (const name of ["a", "b", "slow"]) answer(name);
  await settled();
  assert.equal(saved.flat().length, 4);
});
