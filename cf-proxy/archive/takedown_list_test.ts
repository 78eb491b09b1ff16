import assert from "node:assert/strict";
import { type DenyList, signDenyList } from "../../core/deny_list.ts";
import { parseSigningKeys } from "../../core/link.ts";
import { unwrap } from "../../core/result.ts";
import { type CachedList, TakedownList } from "./takedown_list.ts";

const keys = unwrap(parseSigningKeys(`k1:${"A".repeat(43)}`));
const strangers = unwrap(parseSigningKeys(`k1:${"B".repeat(43)}`));
const START = 1_800_000_000;

/** An isolate with a clock and an API that the test controls. */
function isolate(cache: { list: CachedList | null } = { list: null }) {
  const seen = { requests: 0, errors: [] as string[], background: [] as Promise<void>[] };
  const world = {
    seconds: START,
    api: (): Promise<string> => Promise.reject(new Error("away")),
    inTime: true,
    ...seen,
    /** The titles that are refused. */
    async titles(): Promise<readonly number[] | null> {
      const list = await takedowns.read({
        waitUntil: (work) => void world.background.push(work),
        settlesInTime: async (work) => {
          if (world.inTime) await work;
          return world.inTime;
        },
      });
      return list?.titles ?? null;
    },
    publish(titles: readonly number[], { issuedAt = null as number | null, by = keys } = {}) {
      const list = (): DenyList => ({ issuedAt: issuedAt ?? world.seconds, titles, episodes: [] });
      world.api = () => signDenyList(list(), by);
    },
  };
  const takedowns = new TakedownList({
    keys,
    now: () => world.seconds * 1000,
    fetch: () => (world.requests++, world.api()),
    cache: { get: () => Promise.resolve(cache.list), put: (list) => Promise.resolve(void (cache.list = list)) },
    onError: (error) => void world.errors.push(String(error)),
  });
  return world;
}

Deno.test("takedowns: published later → refused within 60 s, a request per 30 s", async () => {
  const world = isolate();
  world.publish([]);
  assert.deepEqual(await world.titles(), []);
  world.publish([1]);
  const publishedAt = world.seconds;
  while ((await world.titles())!.length === 0) {
    await Promise.all(world.background);
    world.seconds++;
  }
  assert.ok(world.seconds - publishedAt <= 55, `${world.seconds - publishedAt} s; the API itself keeps a list for 5 s`);
  assert.equal(world.requests, 2);
});

Deno.test("takedowns: first request after a pause → waits for a fresh list", async () => {
  const world = isolate();
  world.publish([]);
  await world.titles();
  world.publish([1]);
  world.seconds += 3600;
  assert.deepEqual(await world.titles(), [1]);
});

Deno.test("takedowns: API unreachable → last list in force, one request waits", async () => {
  const world = isolate();
  world.publish([1]);
  await world.titles();
  world.inTime = false;
  world.api = () => new Promise(() => {});
  for (const pause of [60, 60, 3600, 86_400]) {
    world.seconds += pause;
    assert.deepEqual(await world.titles(), [1]);
  }
  const waits = world.requests;
  assert.deepEqual(await world.titles(), [1]);
  assert.equal(world.requests, waits, "no second request yet");
});

Deno.test("takedowns: API slow → playback continues, list in force on arrival", async () => {
  const world = isolate();
  world.inTime = false;
  world.publish([1]);
  assert.deepEqual(await world.titles(), null);
  await Promise.all(world.background);
  assert.deepEqual(await world.titles(), [1]);
});

Deno.test("takedowns: forged, replayed or older lists → not accepted", async () => {
  const world = isolate();
  world.publish([1]);
  await world.titles();
  const attacks: [Parameters<typeof world.publish>[1], RegExp][] = [
    [{ by: strangers }, /bad_signature/],
    [{ issuedAt: START - 1 }, /older than the one in force/],
    [{ issuedAt: START - 3600 }, /not recent/],
    [{ issuedAt: START + 3600 }, /not recent/],
  ];
  for (const [options, reason] of attacks) {
    world.seconds += 60;
    world.publish([], options);
    assert.deepEqual(await world.titles(), [1]);
    await Promise.all(world.background);
    assert.match(world.errors.at(-1)!, reason);
  }
  world.api = () => Promise.resolve("<html>");
  world.seconds += 60;
  assert.deepEqual(await world.titles(), [1]);
});

Deno.test("takedowns: replay to a new isolate → not accepted, nothing refused", async () => {
  const world = isolate();
  world.publish([], { issuedAt: START - 3600 });
  assert.equal(await world.titles(), null);
  assert.match(world.errors[0]!, /not recent/);
});

Deno.test("takedowns: new isolate, API unreachable → another isolate's list", async () => {
  const cache = { list: null };
  const first = isolate(cache);
  first.publish([1]);
  await first.titles();
  const second = isolate(cache);
  second.seconds += 86_400;
  assert.deepEqual(await second.titles(), [1]);
  const third = isolate(cache);
  third.seconds += 10;
  assert.deepEqual(await third.titles(), [1]);
  assert.equal(third.requests, 0, "fresh enough");
});

Deno.test("takedowns: altered cached list → ignored", async () => {
  const world = isolate({
    list: {
      text: await signDenyList({ issuedAt: START, titles: [2], episodes: [] }, strangers),
      confirmedAt: START * 1000,
    },
  });
  world.publish([1]);
  assert.deepEqual(await world.titles(), [1]);
});
