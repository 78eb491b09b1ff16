import assert from "node:assert/strict";
import type { EpisodeRequest } from "../../sources/recipes/recipe.ts";
import type { SourceList } from "../../sources/source_list.ts";
import { RpcError } from "../../core/rpc_error.ts";
import type { EpisodeRecord, EpisodeStore } from "./episode_store.ts";
import type { SourceRead } from "./episode_read.ts";
import { createSourceReader } from "./source_reader.ts";
import { createListSaver } from "./list_saver.ts";

const KEY = { malId: 1, episode: 1 };
const LIST: SourceList = { state: "ok", code: null, servers: [] };

const providerOf = (name: string) => ({ name, recipe: "catalogue", base_url: null, config: {} });

function request(name: string): SourceRead {
  return { request: { ...KEY, provider: providerOf(name), page: null, catalogue: null } satisfies EpisodeRequest };
}

const claimedByOther = (name: string): SourceRead => ({ ...request(name), claimedByOther: true });

type Saved =
  & Pick<Partial<EpisodeRecord>, "source_lists" | "queue">
  & { readonly source_reads: EpisodeRecord["source_reads"] };

const ALL_CLAIMED: Saved = { source_reads: { a: false, b: false, c: false, d: false } };

/** A record with the providers `a` to `d`, and those of the source reads. */
function recordOf(saved: Saved): EpisodeRecord {
  const names = new Set(["a", "b", "c", "d", ...Object.keys(saved.source_reads)]);
  return {
    ...{
      providers: [...names].map(providerOf),
      catalogue: null,
      mappings: {},
      open_circuits: {},
      store: [],
      taken_down: false,
    },
    ...{ source_lists: {}, queue: [], ...saved },
  };
}

interface FixtureOptions {
  readonly budgetMs?: number;
  /** Number of saves that fail, from the first one. */
  readonly failingSaves?: number;
  readonly refuses?: string;
  readonly beforeSave?: Promise<void>;
  /** What the database returns, one for each read. */
  readonly records?: readonly Saved[];
}

/** The test controls when providers respond and time passes; saves, renewals and background work are recorded. */
function fixture(options: FixtureOptions = {}) {
  const responses = new Map<string, PromiseWithResolvers<SourceList>>();
  const started: string[] = [];
  const saved: string[][] = [];
  const ages: number[] = [];
  const renewed: string[][] = [];
  const background: Promise<unknown>[] = [];
  const errors: string[] = [];
  const records = [...options.records ?? []];
  const sleeps: { readonly ms: number; readonly end: () => void }[] = [];
  let failingSaves = options.failingSaves ?? 0;
  let reads = 0;
  let clock = 0;
  const sleep = (ms: number, signal?: AbortSignal) =>
    new Promise<void>((resolve, reject) => {
      sleeps.push({ ms, end: resolve });
      signal?.addEventListener("abort", () => reject(signal.reason));
    });
  const store: EpisodeStore = {
    readEpisode() {
      reads++;
      return Promise.resolve(recordOf(records.shift() ?? ALL_CLAIMED));
    },
    async saveSources(_key, lists) {
      await options.beforeSave;
      saved.push(Object.keys(lists));
      ages.push(...Object.values(lists).map((list) => list.age_seconds!));
      if (options.refuses !== undefined && options.refuses in lists) {
        throw new RpcError("save_sources", {
          code: "22P05",
          status: 400,
          message: "unsupported Unicode escape sequence",
        });
      }
      if (failingSaves-- > 0) throw new Error("database is down");
      return [{ provider: "a", resolution: null, status: "pending" }];
    },
    listTakedowns: () => Promise.resolve({ titles: [], episodes: [] }),
    renewReads(_key, providers) {
      renewed.push([...providers]);
      return Promise.resolve();
    },
  };
  const now = () => clock;
  const onError = (event: string) => void errors.push(event);
  const reader = createSourceReader({
    store,
    save: createListSaver({ store, freshnessSeconds: () => 7, now, sleep, onError }),
    collect({ provider }, { signal }) {
      started.push(provider.name);
      const response = Promise.withResolvers<SourceList>();
      signal.addEventListener("abort", () => response.reject(signal.reason));
      responses.set(provider.name, response);
      return response.promise;
    },
    budgetMs: () => options.budgetMs ?? 60_000,
    limitMs: 120_000,
    now,
    sleep,
    background: (work) => void background.push(work),
  });
  const respond = (name: string) => responses.get(name)!.resolve(LIST);
  const until = async (check: () => boolean, what: string) => {
    for (let turn = 0; !check(); turn++) {
      assert.ok(turn < 1000, what);
      await new Promise((resolve) => setTimeout(resolve));
    }
  };
  const begun = (...names: string[]) =>
    until(() => names.every((name) => started.includes(name)), `begun: ${started} of ${names}`);
  /** Ends the sleeps of this length. */
  const pass = async (ms: number) => {
    await until(() => sleeps.some((one) => one.ms === ms), `${ms} among ${sleeps.map((one) => one.ms)}`);
    clock += ms;
    for (const one of sleeps.filter((one) => one.ms === ms)) {
      sleeps.splice(sleeps.indexOf(one), 1);
      one.end();
    }
  };
  const settled = async () => {
    for (let seen = -1; seen < background.length;) await Promise.all(background.slice(0, seen = background.length));
  };
  return { reader, respond, begun, pass, started, saved, ages, renewed, errors, readCount: () => reads, settled };
}

/** Longest wait for another isolate's read. */
const WAIT_MS = 3_000;
const RENEW_MS = 2_000;

Deno.test("source reader: 100 requests → one read and one save per provider", async () => {
  const { reader, respond, started, saved, settled } = fixture();
  const all = Array.from({ length: 100 }, () => reader.read(KEY, [request("a"), request("b")]));
  respond("a");
  respond("b");
  for (const { lists, queue } of await Promise.all(all)) {
    assert.deepEqual([...lists.keys()].sort(), ["a", "b"]);
    assert.equal(queue?.length, 1);
  }
  assert.deepEqual(started, ["a", "b"]);
  assert.deepEqual(saved.map((names) => names.sort()), [["a", "b"]]);
  await settled();
});

Deno.test("source reader: read in progress → joined; others → started", async () => {
  const { reader, respond, started, settled } = fixture();
  const first = reader.read(KEY, [request("a")]);
  const second = reader.read(KEY, [request("a"), request("b")]);
  respond("a");
  respond("b");
  assert.deepEqual([...(await first).lists.keys()], ["a"]);
  assert.deepEqual([...(await second).lists.keys()].sort(), ["a", "b"]);
  assert.deepEqual(started, ["a", "b"]);
  await settled();
});

Deno.test("source reader: over budget → left out, finished and saved later", async () => {
  const { reader, respond, saved, started, settled } = fixture({ budgetMs: 30 });
  const reading = reader.read(KEY, [request("quick"), request("slow")]);
  respond("quick");
  assert.deepEqual([...(await reading).lists.keys()], ["quick"]);
  const joining = await reader.read(KEY, [request("slow")]);
  assert.deepEqual([...joining.lists.keys()], ["quick"]); // still being read: not requested again
  respond("slow");
  await settled();
  assert.deepEqual(saved, [["quick"], ["slow"]]);
  assert.deepEqual(started, ["quick", "slow"]);
});

Deno.test("source reader: read finished → the next request reads again", async () => {
  const { reader, respond, started, settled } = fixture();
  const first = reader.read(KEY, [request("a")]);
  respond("a");
  await first;
  await settled();
  const second = reader.read(KEY, [request("a")]);
  respond("a");
  await second;
  await settled();
  assert.deepEqual(started, ["a", "a"]);
});

Deno.test("source reader: save fails → list served now, saved later", async () => {
  const { reader, respond, pass, started, saved, ages, errors, settled } = fixture({ failingSaves: 2 });
  const reading = reader.read(KEY, [request("a")]);
  respond("a");
  const { lists, queue } = await reading;
  assert.deepEqual([lists.size, queue, errors], [1, null, ["sources:save:failed"]]);
  assert.equal((await reader.read(KEY, [request("a")])).lists.size, 1);
  await pass(500);
  await pass(1_000);
  await settled();
  assert.deepEqual([started, saved, ages], [["a"], [["a"], ["a"], ["a"]], [0, 0.5, 1.5]]);
});

Deno.test("source reader: save hangs → served without queue state, saved later", async () => {
  const release = Promise.withResolvers<void>();
  const { reader, respond, pass, saved, settled } = fixture({ beforeSave: release.promise });
  const reading = reader.read(KEY, [request("a")]);
  respond("a");
  await pass(1_500);
  const { lists, queue } = await reading;
  assert.deepEqual([lists.size, queue, saved], [1, null, []]);
  release.resolve();
  await settled();
  assert.deepEqual(saved, [["a"]]);
});

Deno.test("source reader: one list is refused → the others are saved", async () => {
  const { reader, respond, saved, errors, settled } = fixture({ refuses: "b" });
  const reading = reader.read(KEY, ["a", "b", "c"].map(request));
  for (const name of ["a", "b", "c"]) respond(name);
  const { lists, queue } = await reading;
  assert.deepEqual([lists.size, queue?.length], [3, 1]);
  assert.deepEqual(saved, [["a", "b", "c"], ["a"], ["b"], ["c"]]);
  assert.equal(errors.length, 2);
  await settled();
});

Deno.test("source reader: another isolate saved in time → its list is used", async () => {
  const queue = [{ provider: "a", resolution: null, status: "ready" }];
  const list = { ...LIST, age_seconds: 0, due_in_seconds: 9 };
  const { reader, pass, started, saved, settled } = fixture({
    records: [{ source_reads: {}, source_lists: { a: list }, queue }],
  });
  const reading = reader.read(KEY, [claimedByOther("a")]);
  await pass(WAIT_MS);
  const result = await reading;
  assert.deepEqual([result.lists.get("a")?.list, result.queue, result.roundTrips], [list, queue, 1]);
  assert.deepEqual([started, saved], [[], []]);
  await settled();
});

Deno.test("source reader: another isolate still reads after the wait → read here", async () => {
  const { reader, respond, begun, pass, readCount, saved, settled } = fixture();
  const reading = reader.read(KEY, ["a", "b", "c", "d"].map(claimedByOther));
  await pass(WAIT_MS);
  await begun("a", "b", "c", "d");
  for (const name of ["a", "b", "c", "d"]) respond(name);
  assert.equal((await reading).lists.size, 4);
  assert.deepEqual([readCount(), saved], [1, [["a", "b", "c", "d"]]]);
  await settled();
});

Deno.test("source reader: a short budget → half of it is left for reading here", async () => {
  const { reader, respond, begun, pass, settled } = fixture({ budgetMs: 1_000 });
  const reading = reader.read(KEY, [claimedByOther("a")]);
  await pass(500);
  await begun("a");
  respond("a");
  assert.equal((await reading).lists.size, 1);
  await settled();
});

Deno.test("source reader: slow read → claims renewed until all reads end", async () => {
  const { reader, respond, pass, renewed, settled } = fixture();
  const reading = reader.read(KEY, [request("a"), request("b")]);
  await pass(RENEW_MS);
  respond("a");
  await pass(RENEW_MS);
  respond("b");
  await reading;
  await settled();
  assert.deepEqual(renewed, [["a", "b"], ["b"]]);
});
