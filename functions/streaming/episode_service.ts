// Finds an episode's servers: one database read, providers only if their cached lists are unusable.
// Runs on: Deno, edge runtime.
import { RpcError } from "../../core/rpc_error.ts";
import { readOnlyReason } from "../_shared/read_only.ts";
import { failedList } from "../../sources/collect.ts";
import type { SourceList } from "../../sources/source_list.ts";
import { type CacheAction, cacheAction } from "./cache_policy.ts";
import { episodeRequest } from "./episode_request.ts";
import { createEpisodeCache } from "./episode_cache.ts";
import type { CachedList, EpisodeKey, EpisodeRecord, EpisodeStore, RateLimit } from "./episode_store.ts";
import type { SourceReader } from "./source_reader.ts";
import type { EpisodeResponse } from "./episode_schema.ts";
import { episodeResponse } from "./response.ts";
import type { EpisodeResponseTools, ProviderResult, ReadState } from "./response_input.ts";

/** Suggested to callers while a failure is being revalidated in the background. */
const REVALIDATED_IN_SECONDS = 5;

export interface EpisodeServiceTools extends EpisodeResponseTools {
  readonly store: EpisodeStore;
  readonly sourceReader: SourceReader;
  readonly background: (work: Promise<unknown>) => void;
  readonly staleSeconds: number;
  readonly onError: (event: "episode:read:failed" | "episode:read:degraded", error: unknown) => void;
}

export interface EpisodeOptions {
  /** Counted against the rate limit; null: not counted. */
  readonly client: string | null;
  /** The caller met a dead URL: lists older than a minute are read again. */
  readonly refresh: boolean;
  /** Return only what is cached: read, claim and enqueue nothing. */
  readonly peek: boolean;
}

export type EpisodeOutcome =
  | {
    readonly kind: "found";
    readonly response: EpisodeResponse;
    readonly roundTrips: number;
    readonly limit: RateLimit | null;
  }
  | { readonly kind: "rate_limited"; readonly resetSeconds: number; readonly limit: RateLimit }
  | { readonly kind: "taken_down" }
  | { readonly kind: "unavailable"; readonly detail: string };

export interface EpisodeService {
  find(key: EpisodeKey, options: EpisodeOptions): Promise<EpisodeOutcome>;
}

/** `detail`: why the response is incomplete, for the caller. */
type Lookup = { readonly record: EpisodeRecord | null; readonly roundTrips: number; readonly detail: string | null };

export function createEpisodeService(tools: EpisodeServiceTools): EpisodeService {
  const cache = createEpisodeCache<EpisodeRecord>({ now: tools.now, keepSeconds: tools.staleSeconds, weigh: weightOf });

  async function lookUp(key: EpisodeKey, { client, refresh, peek }: EpisodeOptions): Promise<Lookup> {
    try {
      const record = await tools.store.readEpisode(key, { client, refresh, claim: !peek });
      cache.put(nameOf(key), record);
      return { record, roundTrips: 1, detail: null };
    } catch (error) {
      const reason = error instanceof RpcError ? readOnlyReason(error) : null;
      if (reason !== null) return await lookUpReadOnly(key, reason);
      tools.onError("episode:read:failed", error);
      return { record: await cached(key), roundTrips: 1, detail: "the database does not answer, try again" };
    }
  }

  /** Checks takedowns separately: one may be newer than the cached record. */
  async function cached(key: EpisodeKey): Promise<EpisodeRecord | null> {
    const record = cache.get(nameOf(key));
    return record && { ...record, taken_down: record.taken_down || await tools.isTakenDown(key) };
  }

  /** Counting and claiming must not fail a response: repeats the read without them. */
  async function lookUpReadOnly(key: EpisodeKey, reason: string): Promise<Lookup> {
    const detail = `${reason}, so nothing was counted, read or enqueued`;
    tools.onError("episode:read:degraded", detail);
    try {
      const record = await tools.store.readEpisode(key, { client: null, refresh: false, claim: false });
      cache.put(nameOf(key), record);
      return { record, roundTrips: 2, detail };
    } catch (error) {
      tools.onError("episode:read:failed", error);
      return { record: await cached(key), roundTrips: 2, detail };
    }
  }

  return {
    async find(key, options) {
      const { record, roundTrips, detail } = await lookUp(key, options);
      if (record === null) return { kind: "unavailable", detail: detail! };
      if (record.taken_down) return { kind: "taken_down" };
      const limit = detail === null ? record.rate_limit ?? null : null;
      if (limit?.allowed === false) return { kind: "rate_limited", resetSeconds: limit.reset_seconds, limit };
      const { refresh } = options;
      const mayRead = detail === null && !options.peek;
      const providers = record.providers.map((provider) => ({
        action: mayRead ? cacheAction(provider.name, record, { ...tools, refresh }) : "serve",
        name: provider.name,
        request: episodeRequest(key, provider, record),
      }));
      const having = (...actions: readonly CacheAction[]) => providers.filter(({ action }) => actions.includes(action));

      const revalidated = having("revalidate");
      if (revalidated.length > 0) tools.background(tools.sourceReader.read(key, revalidated));
      const startedAt = tools.now();
      const reads = having("fetch", "await").map((one) => ({
        ...one,
        claimedByOther: one.action === "await",
        refresh,
      }));
      const read = reads.length > 0 ? await tools.sourceReader.read(key, reads) : null;

      const waitedMs = tools.now() - startedAt;
      const results = new Map<string, ProviderResult>();
      for (const { action, name } of providers) {
        const old = record.source_lists[name] ?? null;
        const fresh = read?.lists.get(name);
        if (fresh) results.set(name, freshResult(fresh, old));
        else if (action === "fetch" || action === "await") results.set(name, timedOutResult(old, waitedMs));
        else results.set(name, cachedResult(old, record.open_circuits[name]));
      }
      const queue = read?.queue ?? record.queue;
      const response = await episodeResponse({ key, record, queue, results, detail }, tools);
      return { kind: "found", response, roundTrips: roundTrips + (read?.roundTrips ?? 0), limit };
    },
  };
}

function nameOf({ malId, episode }: EpisodeKey): string {
  return `${malId}/${episode}`;
}

/** Text that sites control is counted by the character, everything else by the row. */
function weightOf(record: EpisodeRecord): number {
  const rows = record.providers.length + record.store.length + record.queue.length;
  const servers = Object.values(record.source_lists).flatMap((list) => list?.servers ?? []);
  return 1000 * (1 + rows + servers.length) + servers.reduce((sum, server) => sum + textLength(server), 0);
}

function textLength({ embed_url, video_url, subtitles, chapters = [] }: CachedList["servers"][number]): number {
  const extras = [...subtitles.map(({ url }) => url), ...chapters.map(({ title }) => title)];
  return [embed_url, video_url ?? "", ...extras].reduce((sum, text) => sum + text.length, 0);
}

/** An open circuit explains a missing list, and delays the suggested retry of a failed one. */
function cachedResult(
  old: CachedList | null,
  circuit: EpisodeRecord["open_circuits"][string] | undefined,
): ProviderResult {
  if (old === null && circuit === undefined) return { list: NOT_READ, state: stateOf(NOT_READ, 0) };
  const list = old ?? { ...failedList(circuit?.code ?? "timeout"), age_seconds: 0, due_in_seconds: 0, ...circuit };
  const wait = Math.max(list.due_in_seconds, circuit?.due_in_seconds ?? 0);
  const retry = list.state !== "ok" && { retry_after_seconds: wait > 0 ? wait : REVALIDATED_IN_SECONDS };
  return { list, state: { ...stateOf(list, 0), ...ageOf(list), ...retry } };
}

/** If the read failed, the old servers are kept: a site's failure does not mean that its media is gone. */
function freshResult(fresh: { list: SourceList; tookMs: number }, old: CachedList | null): ProviderResult {
  const { list } = fresh;
  const state = stateOf(list, fresh.tookMs);
  if (list.state === "ok" || list.state === "empty" || !old?.servers.length) return { list, state };
  return { list: old, state: { ...state, ...ageOf(old) } };
}

/** Timed out: serves the stale list if there is one. The read finishes in the background. */
function timedOutResult(old: CachedList | null, waitedMs: number): ProviderResult {
  const state = stateOf({ state: "timeout", code: "provider_timeout" }, waitedMs);
  return {
    list: old ?? failedList("timeout"),
    state: { ...state, ...(old && ageOf(old)), retry_after_seconds: REVALIDATED_IN_SECONDS },
  };
}

const NOT_READ: SourceList = { state: "unknown", code: "not_read", servers: [] };

function ageOf(list: { readonly age_seconds: number }) {
  return { cached: true, age_seconds: Math.round(list.age_seconds) };
}

function stateOf({ state, code }: Pick<SourceList, "state" | "code">, tookMs: number): ReadState {
  return { state, ...(code && { code }), took_ms: Math.round(tookMs), cached: false };
}
