// An episode's answer: one read of the database, the providers only where its cache has nothing, the store always fresh.
// Runs on: Deno, edge runtime.
import { failedList } from "../../sources/collect.ts";
import type { SourceList } from "../../sources/source_list.ts";
import { type Plan, planFor } from "./cache_policy.ts";
import { episodeRequest } from "./episode_request.ts";
import { createMemory } from "./lru_cache.ts";
import {
  type CachedList,
  type Episode,
  type EpisodeKey,
  type EpisodeStore,
  type RateLimit,
  StoreError,
} from "./episode_store.ts";
import type { Gatherer } from "./source_reader.ts";
import {
  type EpisodeResponse,
  episodeResponse,
  type EpisodeResponseTools,
  type GatheredList,
  type ProviderState,
} from "./response.ts";

/** A failure that is being looked at behind the answer may be over by then. */
const RENEWED_IN_SECONDS = 5;

export interface EpisodeServiceTools extends EpisodeResponseTools {
  readonly store: EpisodeStore;
  readonly gatherer: Gatherer;
  readonly background: (work: Promise<unknown>) => void;
  readonly staleSeconds: number;
  readonly onError: (event: "episode:read:failed" | "episode:read:degraded", error: unknown) => void;
}

export interface EpisodeOptions {
  /** Counted against the rate limit; null: not counted. */
  readonly client: string | null;
  /** The caller met a dead address; lists older than a minute are read again. */
  readonly refresh: boolean;
  /** Only what is known already: nothing is read, claimed or enqueued. */
  readonly peek: boolean;
}

export type EpisodeOutcome =
  | {
    readonly kind: "answer";
    readonly answer: EpisodeResponse;
    readonly roundTrips: number;
    readonly limit: RateLimit | null;
  }
  | { readonly kind: "rate_limited"; readonly resetSeconds: number; readonly limit: RateLimit }
  | { readonly kind: "taken_down" }
  | { readonly kind: "unavailable"; readonly detail: string };

export interface EpisodeService {
  answer(key: EpisodeKey, options: EpisodeOptions): Promise<EpisodeOutcome>;
}

/** `detail`: why it is not more, for the caller. */
type Found = { readonly known: Episode | null; readonly roundTrips: number; readonly detail: string | null };

export function createEpisodeService(tools: EpisodeServiceTools): EpisodeService {
  const memory = createMemory<Episode>({ now: tools.now, keepSeconds: tools.staleSeconds, weigh: weightOf });

  async function read(key: EpisodeKey, { client, refresh, peek }: EpisodeOptions): Promise<Found> {
    try {
      const known = await tools.store.readEpisode(key, { client, refresh, claim: !peek });
      memory.put(nameOf(key), known);
      return { known, roundTrips: 1, detail: null };
    } catch (error) {
      if (error instanceof StoreError && error.readOnly !== null) return await readOnly(key, error.readOnly);
      tools.onError("episode:read:failed", error);
      const known = await remembered(key); // a database that restarts is no reason to stop a film
      return { known, roundTrips: 1, detail: "the database does not answer, try again" };
    }
  }

  /** A takedown may be younger than what is remembered. */
  async function remembered(key: EpisodeKey): Promise<Episode | null> {
    const known = memory.get(nameOf(key));
    return known && { ...known, taken_down: known.taken_down || await tools.isTakenDown(key) };
  }

  /** Counting and claiming must not fail a response. */
  async function readOnly(key: EpisodeKey, reason: string): Promise<Found> {
    const detail = `${reason}, so nothing was counted, read or enqueued`;
    tools.onError("episode:read:degraded", detail);
    try {
      const known = await tools.store.readEpisode(key, { client: null, refresh: false, claim: false });
      memory.put(nameOf(key), known);
      return { known, roundTrips: 2, detail };
    } catch (error) {
      tools.onError("episode:read:failed", error);
      return { known: await remembered(key), roundTrips: 2, detail };
    }
  }

  return {
    async answer(key, options) {
      const { known, roundTrips, detail } = await read(key, options);
      if (known === null) return { kind: "unavailable", detail: detail! };
      if (known.taken_down) return { kind: "taken_down" };
      const limit = detail === null ? known.rate_limit ?? null : null;
      if (limit?.allowed === false) return { kind: "rate_limited", resetSeconds: limit.reset_seconds, limit };
      const { refresh } = options;
      const mayRead = detail === null && !options.peek;
      const planned = known.providers.map((provider) => ({
        plan: mayRead ? planFor(provider.name, known, { ...tools, refresh }) : "answer",
        name: provider.name,
        request: episodeRequest(key, provider, known),
      }));
      const wanted = (...plans: readonly Plan[]) => planned.filter(({ plan }) => plans.includes(plan));

      const renewed = wanted("renew");
      if (renewed.length > 0) tools.background(tools.gatherer.gather(key, renewed));
      const startedAt = tools.now();
      const awaited = wanted("read", "follow").map((one) => ({ ...one, elsewhere: one.plan === "follow", refresh }));
      const gathered = awaited.length > 0 ? await tools.gatherer.gather(key, awaited) : null;

      const waitedMs = tools.now() - startedAt;
      const lists = new Map<string, GatheredList>();
      for (const { plan, name } of planned) {
        const old = known.source_lists[name] ?? null;
        const now = gathered?.lists.get(name);
        if (now) lists.set(name, gatheredList(now, old));
        else if (plan === "read" || plan === "follow") lists.set(name, lateList(old, waitedMs));
        else lists.set(name, knownList(old, known.open_circuits[name]));
      }
      const queue = gathered?.queue ?? known.queue;
      const answer = await episodeResponse({ key, known, queue, gathered: lists, detail }, tools);
      return { kind: "answer", answer, roundTrips: roundTrips + (gathered?.roundTrips ?? 0), limit };
    },
  };
}

function nameOf({ malId, episode }: EpisodeKey): string {
  return `${malId}/${episode}`;
}

/** What sites may fill is counted by the letter, the rest by the row. */
function weightOf(known: Episode): number {
  const rows = known.providers.length + known.store.length + known.queue.length;
  const servers = Object.values(known.source_lists).flatMap((list) => list?.servers ?? []);
  return 1000 * (1 + rows + servers.length) + servers.reduce((sum, server) => sum + lettersOf(server), 0);
}

function lettersOf({ embed_url, video_url, subtitles, chapters = [] }: CachedList["servers"][number]): number {
  const extras = [...subtitles.map(({ url }) => url), ...chapters.map(({ title }) => title)];
  return [embed_url, video_url ?? "", ...extras].reduce((sum, text) => sum + text.length, 0);
}

/** From the cache. A site in trouble says why where nothing is known of this episode, or nothing good. */
function knownList(old: CachedList | null, trouble: Episode["open_circuits"][string] | undefined): GatheredList {
  if (old === null && trouble === undefined) return { list: NOT_READ, state: stateOf(NOT_READ, 0) };
  const from = old ?? { ...failedList(trouble?.code ?? "timeout"), age_seconds: 0, due_in_seconds: 0, ...trouble };
  const wait = Math.max(from.due_in_seconds, trouble?.due_in_seconds ?? 0);
  const retry = from.state !== "ok" && { retry_after_seconds: wait > 0 ? wait : RENEWED_IN_SECONDS };
  return { list: from, state: { ...stateOf(from, 0), ...ageOf(from), ...retry } };
}

/** What was read now, or the servers known before where that failed: the site's trouble says nothing about its media. */
function gatheredList(now: { list: SourceList; tookMs: number }, old: CachedList | null): GatheredList {
  const state = stateOf(now.list, now.tookMs);
  if (now.list.state === "ok" || now.list.state === "empty" || !old?.servers.length) return { list: now.list, state };
  return { list: old, state: { ...state, ...ageOf(old) } };
}

/** Waited for in vain: whatever old list there is, and why. It is finished and saved behind the answer. */
function lateList(old: CachedList | null, waitedMs: number): GatheredList {
  const state = stateOf({ state: "timeout", code: "provider_timeout" }, waitedMs);
  return {
    list: old ?? failedList("timeout"),
    state: { ...state, ...(old && ageOf(old)), retry_after_seconds: RENEWED_IN_SECONDS },
  };
}

const NOT_READ: SourceList = { state: "unknown", code: "not_read", servers: [] };

function ageOf(list: { readonly age_seconds: number }) {
  return { cached: true, age_seconds: Math.round(list.age_seconds) };
}

function stateOf({ state, code }: { state: string; code?: string | null | undefined }, tookMs: number): ProviderState {
  return { state, ...(code && { code }), took_ms: Math.round(tookMs), cached: false };
}
