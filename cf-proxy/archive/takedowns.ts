/** Refuses episodes that the operator has taken down, also in links signed before. `await takedownOf(link, invocation)` → 451 or null. */
import { archivedEpisode } from "../../core/archive_location.ts";
import { isDenied } from "../../core/deny_list.ts";
import { takedownsUrl } from "../../core/episode_url.ts";
import type { VerifiedLink } from "../../core/link.ts";
import { redactText } from "../../core/redact.ts";
import type { Invocation } from "../invocation.ts";
import type { Config } from "../env.ts";
import type { Problem } from "../http/problem.ts";
import { type CachedList, TakedownList } from "./takedown_list.ts";

const MAX_WAIT_MS = 1000;
const FETCH_TIMEOUT_MS = 10_000;
/** Below `.invalid`, which no link can reach. */
const CACHE_KEY = "https://cache.keepstream.invalid/takedowns";
const CACHE_SECONDS = 30 * 86_400;

/** One per configuration, so one per isolate. */
const lists = new WeakMap<Config, TakedownList>();

/** Matches the sealed episode, and the path of an archived file on any host. */
export async function takedownOf(link: VerifiedLink, { config, context }: Invocation): Promise<Problem | null> {
  if (config.publicApiUrl === null) return null;
  const episodes = [link.context.episode, archivedEpisode(link.url)].filter((episode) => episode != null);
  if (episodes.length === 0) return null;
  let takedowns = lists.get(config);
  if (takedowns === undefined) lists.set(config, takedowns = takedownList(config, config.publicApiUrl));
  const list = await takedowns.read({ waitUntil: (work) => context.waitUntil(work), settlesInTime });
  if (list === null || !episodes.some((episode) => isDenied(list, episode))) return null;
  return { status: 451, code: "taken_down", detail: "this episode has been taken down" };
}

function takedownList({ keys }: Config, publicApiUrl: string): TakedownList {
  return new TakedownList({
    keys,
    now: () => Date.now(),
    fetch: () => fetchTakedowns(publicApiUrl),
    cache: { get: readCache, put: writeCache },
    onError: (error) => console.error(JSON.stringify({ event: "takedowns:failed", error: redactText(String(error)) })),
  });
}

/** The signed list. @throws {Error} */
export async function fetchTakedowns(publicApiUrl: string): Promise<string> {
  const signal = AbortSignal.timeout(FETCH_TIMEOUT_MS);
  const response = await fetch(takedownsUrl(publicApiUrl), { headers: { accept: "application/json" }, signal });
  if (response.ok) return await response.text();
  await response.body?.cancel();
  throw new Error(`the public API responded ${response.status} for the list of takedowns`);
}

async function readCache(): Promise<CachedList | null> {
  const cached = await caches.default.match(CACHE_KEY);
  if (cached === undefined) return null;
  return { text: await cached.text(), confirmedAt: Number(cached.headers.get("x-confirmed-at")) };
}

async function writeCache({ text, confirmedAt }: CachedList): Promise<void> {
  const headers = { "cache-control": `max-age=${CACHE_SECONDS}`, "x-confirmed-at": String(confirmedAt) };
  // If the cache fails, this isolate still has the list.
  await caches.default.put(CACHE_KEY, new Response(text, { headers })).catch(() => {});
}

async function settlesInTime(work: Promise<void>): Promise<boolean> {
  const timeout = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => timeout.resolve(false), MAX_WAIT_MS);
  try {
    return await Promise.race([work.then(() => true), timeout.promise]);
  } finally {
    clearTimeout(timer);
  }
}
