// An episode's answer: one read of the database, the providers only where its cache has nothing, the store always fresh.
// Runs on: Deno, edge runtime.
import type { EpisodeRequest } from "../../sources/providers/recipe.ts";
import { failedList } from "../../sources/collect.ts";
import type { SourceList } from "../../sources/source_list.ts";
import { createMemory } from "./memory.ts";
import type { Episode, EpisodeKey, EpisodeProvider, EpisodeStore } from "./episode_store.ts";
import type { Gatherer } from "./gather.ts";
import { type AnswerTools, type GatheredList, type PublicAnswer, publicAnswer } from "./public_answer.ts";

const REFRESH_MIN_AGE_SECONDS = 60;

export interface EpisodeServiceTools extends AnswerTools {
  readonly store: EpisodeStore;
  readonly gatherer: Gatherer;
  readonly background: (work: Promise<unknown>) => void;
  readonly freshSeconds: number;
  readonly staleSeconds: number;
  readonly failureSeconds: number;
  readonly onError: (event: "episode:read:failed", error: unknown) => void;
}

export type EpisodeOutcome =
  | { readonly kind: "answer"; readonly answer: PublicAnswer; readonly roundTrips: number }
  | { readonly kind: "rate_limited"; readonly resetSeconds: number }
  | { readonly kind: "unavailable" };

export interface EpisodeService {
  /** `refresh`: the caller met a dead address; lists older than a minute are read again. */
  answer(key: EpisodeKey, options: { client: string | null; refresh: boolean }): Promise<EpisodeOutcome>;
}

export function createEpisodeService(tools: EpisodeServiceTools): EpisodeService {
  const memory = createMemory<Episode>({ now: tools.now, keepSeconds: tools.staleSeconds });

  async function read(key: EpisodeKey, client: string | null): Promise<{ known: Episode; live: boolean } | null> {
    const name = `${key.malId}/${key.episode}`;
    try {
      const known = await tools.store.readEpisode(key, client);
      memory.put(name, known);
      return { known, live: true };
    } catch (error) {
      tools.onError("episode:read:failed", error);
      const known = memory.get(name); // a database that restarts is no reason to stop a film
      return known === null ? null : { known, live: false };
    }
  }

  return {
    async answer(key, { client, refresh }) {
      const found = await read(key, client);
      if (found === null) return { kind: "unavailable" };
      const { known, live } = found;
      if (live && known.rate_limit?.allowed === false) {
        return { kind: "rate_limited", resetSeconds: Math.ceil(known.rate_limit.reset_seconds ?? 60) };
      }
      const freshness = (provider: EpisodeProvider) =>
        live ? freshnessOf(provider.name, known, { ...tools, refresh }) : "fresh";
      const missing = known.providers.filter((one) => freshness(one) === "missing");
      const stale = known.providers.filter((one) => freshness(one) === "stale");

      const requestOf = (provider: EpisodeProvider) => episodeRequest(key, provider, known);
      if (stale.length > 0) tools.background(tools.gatherer.gather(key, stale.map(requestOf)));
      const startedAt = tools.now();
      const gathered = missing.length > 0 ? await tools.gatherer.gather(key, missing.map(requestOf)) : null;

      const waitedMs = tools.now() - startedAt;
      const lists = new Map<string, GatheredList>();
      for (const { name } of known.providers) {
        const now = gathered?.lists.get(name);
        if (now) lists.set(name, gatheredList(now, known.source_lists[name]));
        else {lists.set(
            name,
            missing.some((one) => one.name === name) ? lateList(name, known, waitedMs) : cachedList(name, known),
          );}
      }
      const queue = gathered?.queue ?? known.queue;
      const answer = await publicAnswer({ key, known, queue, gathered: lists }, tools);
      return { kind: "answer", answer, roundTrips: gathered ? 2 : 1 };
    },
  };
}

type Freshness = "fresh" | "stale" | "missing";

function freshnessOf(
  name: string,
  known: Episode,
  options: EpisodeServiceTools & { readonly refresh: boolean },
): Freshness {
  const list = known.source_lists[name];
  if (list === undefined) return "missing";
  const age = list.age_seconds;
  if (list.state !== "ok") return age <= options.failureSeconds ? "fresh" : "missing";
  if (options.refresh && age > REFRESH_MIN_AGE_SECONDS) return "missing";
  // A page may name an address that has expired already: reading it again at once would find the same.
  const dead = age > REFRESH_MIN_AGE_SECONDS &&
    list.servers.some(({ expires_at }) => expires_at !== null && Date.parse(expires_at) <= options.now());
  if (dead || age > options.staleSeconds) return "missing";
  return age <= options.freshSeconds ? "fresh" : "stale";
}

function episodeRequest(key: EpisodeKey, provider: EpisodeProvider, known: Episode): EpisodeRequest {
  const mapping = known.mappings[provider.name];
  const page = typeof mapping?.page === "string" ? mapping.page : null;
  return { ...key, provider, page, absent: mapping !== undefined && page === null, catalogue: known.catalogue };
}

function cachedList(name: string, known: Episode): GatheredList {
  const { age_seconds, ...list } = known.source_lists[name] ?? { ...failedList("timeout"), age_seconds: 0 };
  return { list, state: { ...stateOf(list, 0), cached: true, age_seconds: Math.round(age_seconds) } };
}

/** What was read now, or the servers known before where that failed: the site's trouble says nothing about its media. */
function gatheredList(now: { list: SourceList; tookMs: number }, old: Episode["source_lists"][string] | undefined) {
  const state = stateOf(now.list, now.tookMs);
  if (now.list.state === "ok" || now.list.state === "empty" || !old?.servers.length) return { list: now.list, state };
  return { list: old, state: { ...state, cached: true, age_seconds: Math.round(old.age_seconds) } };
}

/** Waited for in vain: whatever old list there is, and why. It is finished and saved behind the answer. */
function lateList(name: string, known: Episode, waitedMs: number): GatheredList {
  const old = known.source_lists[name];
  const age = old && { age_seconds: Math.round(old.age_seconds) };
  const state = {
    state: "timeout",
    code: "provider_timeout",
    took_ms: Math.round(waitedMs),
    cached: old !== undefined,
  };
  return { list: old ?? failedList("timeout"), state: { ...state, ...age } };
}

function stateOf({ state, code }: { state: string; code?: string | null | undefined }, tookMs: number) {
  return { state, ...(code && { code }), took_ms: Math.round(tookMs), cached: false };
}
