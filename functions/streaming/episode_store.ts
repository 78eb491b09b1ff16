// The database calls of the streaming function, parsed: `read_episode` (everything that a warm response needs), `save_sources` (cache
// and enqueue), and a few best-effort steps. Runs on: Deno, edge runtime.
import type { SupabaseClient } from "@supabase/supabase-js";
import { z } from "zod";
import type { Database } from "../../core/database.types.ts";
import { callRpc, type RpcArgs, type RpcName } from "../_shared/rpc.ts";
import { httpOnly } from "./http_only.ts";
import { mediaSchema } from "./media_schema.ts";
import { presentationSchema, sidecarsSchema } from "./presentation_schema.ts";
import { chapterSchema, type SourceList, sourceListSchema, subtitleSchema } from "../../sources/source_list.ts";

const CALL_TIMEOUT_MS = 10_000;
/** For best-effort steps. */
const BEST_EFFORT_TIMEOUT_MS = 1_000;
/** Short, because a response may already have waited for the episode. */
const TAKEDOWNS_TIMEOUT_MS = 2_000;
/** How long the claims of an isolate that is terminated while reading block the others. */
const CLAIM_SECONDS = 5;

const replicaSchema = z.object({
  target: z.string().nullish(),
  repo: z.string(),
  path: z.string(),
  direct_url: z.string().nullish(),
  state: z.string().nullish(),
});

const storedMediaSchema = mediaSchema.extend({
  presentation: presentationSchema.nullish().catch(null),
  sidecars: sidecarsSchema.nullish().catch(null),
  chapters: z.array(chapterSchema).nullish().catch(null),
});

const storedSchema = z.object({
  provider: z.string(),
  resolution: z.string().nullable(),
  hf_repo: z.string().nullish(),
  hf_path: z.string().nullish(),
  hf_direct_url: z.string().nullish(),
  size_bytes: z.number().nullish(),
  duration_seconds: z.number().nullish(),
  width: z.number().nullish(),
  height: z.number().nullish(),
  // Written by runners of any version: what cannot be read is not shown.
  media: storedMediaSchema.nullish().catch(null),
  /** The server of whose source this is a further height; null for the archive of a listed server. */
  height_of: z.object({ resolution: z.string().nullable() }).nullish(),
  replicas: z.array(replicaSchema).nullish(),
});

const queuedSchema = z.object({
  provider: z.string(),
  resolution: z.string().nullable(),
  status: z.string(),
  progress: z.unknown().optional(),
  error_class: z.string().nullish(),
  terminal_at: z.string().nullish(),
});

const catalogueSchema = z.object({
  title: z.string().nullish().transform((title) => title ?? null),
  sources: z.array(z.object({
    url: z.string(),
    resolution: z.string().nullish(),
    kind: z.string().nullish(),
    label: z.string().nullish(),
    subtitles: z.array(subtitleSchema).nullish(),
    chapters: z.array(chapterSchema).nullish().catch(null),
  })),
});

const cachedListSchema = sourceListSchema.extend({ age_seconds: z.number(), due_in_seconds: z.number() })
  .transform((list) => ({ ...list, servers: httpOnly(list.servers) }));

const openCircuitSchema = z.object({ code: z.string(), age_seconds: z.number(), due_in_seconds: z.number() });

const limitSchema = z.object({
  allowed: z.boolean(),
  /** Requests a minute. */
  limit: z.number(),
  remaining: z.number(),
  /** Until the allowance is full again; for a refused request, until the next one is allowed. */
  reset_seconds: z.number(),
});

const recordSchema = z.object({
  providers: z.array(z.object({
    name: z.string(),
    recipe: z.string(),
    base_url: z.string().nullable(),
    config: z.record(z.string(), z.unknown()).nullish().transform((config) => config ?? {}),
  })),
  // Operators also write these by hand: an invalid row is skipped and never fails the response.
  catalogue: catalogueSchema.nullable().catch(null),
  mappings: z.record(z.string(), z.looseObject({}).catch({})),
  source_lists: z.record(z.string(), cachedListSchema.nullable().catch(null)),
  /** Due reads: true if this call has claimed it, false if another isolate has. */
  source_reads: z.record(z.string(), z.boolean()),
  /** Providers whose circuit breaker is open: their sites failed repeatedly, for any episode. */
  open_circuits: z.record(z.string(), openCircuitSchema),
  store: z.array(storedSchema),
  queue: z.array(queuedSchema),
  taken_down: z.boolean().default(false),
  rate_limit: limitSchema.nullish(),
});

const takedownsSchema = z.object({ titles: z.array(z.number()), episodes: z.array(z.tuple([z.number(), z.number()])) });

const savedSchema = z.object({ queue: z.array(queuedSchema).default([]) });

/** What `read_episode` returns. */
export type EpisodeRecord = z.infer<typeof recordSchema>;
export type Takedowns = z.infer<typeof takedownsSchema>;
export type RateLimit = z.infer<typeof limitSchema>;
export type CachedList = z.infer<typeof cachedListSchema>;
export type EpisodeProvider = EpisodeRecord["providers"][number];
export type StoredVideo = z.infer<typeof storedSchema>;
export type QueuedVideo = z.infer<typeof queuedSchema>;

export interface EpisodeKey {
  readonly malId: number;
  readonly episode: number;
}

/** What discovery caches: the names of a title, and its page at a provider. */
export interface DiscoveryStore {
  readMetadata(key: string): Promise<unknown>;
  saveMetadata(key: string, value: unknown, ttlSeconds: number): Promise<void>;
  /** `{}`: searched for and not found. Never replaces an operator's mapping. */
  saveMapping(at: { malId: number; provider: string }, mapping: object, ttlSeconds: number): Promise<void>;
}

export interface ReadOptions {
  /** Counted against the rate limit; null: not counted. */
  readonly client: string | null;
  /** Lists older than a minute are due. */
  readonly refresh: boolean;
  /** Whether due reads are claimed for this isolate. */
  readonly claim: boolean;
}

/** A list with its freshness lifetime. After repeated failures the database extends it. */
export interface ListToSave extends SourceList {
  readonly due_seconds?: number;
  /** Since the read began. */
  readonly age_seconds?: number;
  /** The site's Retry-After. */
  readonly retry_after_seconds?: number;
}

export interface EpisodeStore {
  /** @throws {RpcError | z.ZodError} */
  readEpisode(key: EpisodeKey, options: ReadOptions): Promise<EpisodeRecord>;
  /** Caches the lists, enqueues their playable servers and returns the episode's queue. @throws {RpcError} */
  saveSources(key: EpisodeKey, lists: Readonly<Record<string, ListToSave>>): Promise<readonly QueuedVideo[]>;
  /** @throws {RpcError} */
  listTakedowns(): Promise<Takedowns>;
  /** Extends this isolate's claims. */
  renewReads(key: EpisodeKey, providers: readonly string[]): Promise<void>;
}

export function createEpisodeStore(supabase: SupabaseClient<Database>): EpisodeStore & DiscoveryStore {
  const call = <N extends RpcName>(name: N, args: RpcArgs<N>, timeoutMs = CALL_TIMEOUT_MS) =>
    callRpc(supabase, name, args, timeoutMs);
  const tryCall = <N extends RpcName>(name: N, args: RpcArgs<N>) => call(name, args, BEST_EFFORT_TIMEOUT_MS);

  return {
    async readEpisode({ malId, episode }, { client, refresh, claim }) {
      const args = {
        mal_id: malId,
        episode,
        reader_seconds: claim ? CLAIM_SECONDS : 0,
        refresh,
        ...(client !== null && { client }),
      };
      return recordSchema.parse(await call("read_episode", args));
    },
    async saveSources({ malId, episode }, lists) {
      return savedSchema.parse(await call("save_sources", { mal_id: malId, episode, lists })).queue;
    },
    async listTakedowns() {
      return takedownsSchema.parse(await call("list_takedowns", {}, TAKEDOWNS_TIMEOUT_MS));
    },
    async renewReads({ malId, episode }, providers) {
      await tryCall("renew_source_reads", { mal_id: malId, episode, providers, reader_seconds: CLAIM_SECONDS });
    },
    readMetadata: (key) => tryCall("read_metadata", { key }),
    async saveMetadata(key, value, ttlSeconds) {
      await tryCall("save_metadata", { key, value, ttl_seconds: ttlSeconds });
    },
    async saveMapping({ malId, provider }, mapping, ttlSeconds) {
      await tryCall("save_title_mapping", { mal_id: malId, provider, mapping, ttl_seconds: ttlSeconds });
    },
  };
}
