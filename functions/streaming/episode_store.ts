// The two SQL calls of an answer, parsed: `read_episode` (everything a warm answer needs) and `save_sources` (cache and enqueue).
// Runs on: Deno, edge runtime.
import type { SupabaseClient } from "@supabase/supabase-js";
import { z } from "zod";
import { wellFormed } from "../../core/well_formed.ts";
import { type SourceList, sourceListSchema, subtitleSchema } from "../../sources/source_list.ts";

const CALL_TIMEOUT_MS = 10_000;
/** How long a reading that this isolate was given is its own: longer than any goes on, so that none is done twice. */
export const READER_SECONDS = 60;

const replicaSchema = z.object({
  target: z.string().nullish(),
  repo: z.string(),
  path: z.string(),
  direct_url: z.string().nullish(),
  state: z.string().nullish(),
});

const storedSchema = z.object({
  provider: z.string(),
  resolution: z.string().nullable(),
  hf_repo: z.string().nullish(),
  hf_path: z.string().nullish(),
  hf_direct_url: z.string().nullish(),
  size_bytes: z.number().nullish(),
  duration_seconds: z.number().nullish(),
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
  })),
});

const cachedListSchema = sourceListSchema.extend({ age_seconds: z.number(), due_in_seconds: z.number() });

const troubleSchema = z.object({ code: z.string(), age_seconds: z.number(), due_in_seconds: z.number() });

const limitSchema = z.object({
  allowed: z.boolean(),
  /** Requests a minute. */
  limit: z.number(),
  remaining: z.number(),
  /** Until the allowance is whole again; of a refused request, until one more is allowed. */
  reset_seconds: z.number(),
});

const episodeSchema = z.object({
  providers: z.array(z.object({
    name: z.string(),
    recipe: z.string(),
    base_url: z.string().nullable(),
    config: z.record(z.string(), z.unknown()).nullish().transform((config) => config ?? {}),
  })),
  // Operators write these by hand, too: a row that is not understood costs that row, never the answer.
  catalogue: catalogueSchema.nullable().catch(null),
  mappings: z.record(z.string(), z.looseObject({}).catch({})),
  source_lists: z.record(z.string(), cachedListSchema.nullable().catch(null)),
  /** What is due: true where this caller is to read it, false where another isolate is reading it. */
  readings: z.record(z.string(), z.boolean()),
  /** Providers whose sites have failed again and again, whatever was asked of them. */
  trouble: z.record(z.string(), troubleSchema),
  store: z.array(storedSchema),
  queue: z.array(queuedSchema),
  rate_limit: limitSchema.nullish(),
});

const savedSchema = z.object({ queue: z.array(queuedSchema).default([]) });

export type Episode = z.infer<typeof episodeSchema>;
export type RateLimit = z.infer<typeof limitSchema>;
export type CachedList = z.infer<typeof cachedListSchema>;
export type EpisodeProvider = Episode["providers"][number];
export type StoredVideo = z.infer<typeof storedSchema>;
export type QueuedVideo = z.infer<typeof queuedSchema>;

export interface EpisodeKey {
  readonly malId: number;
  readonly episode: number;
}

/** The database did not do it. `refused`: because of what it was given, so that less of it may be taken. */
export class StoreError extends Error {
  override readonly name = "StoreError";
  readonly refused: boolean;

  constructor(message: string, code: string) {
    super(message);
    this.refused = /^(?:22|23|PT4|PGRST1)/.test(code); // SQLSTATE classes data exception and violated rule
  }
}

/** What discovery keeps: the names of a title, and where it lives at a provider. */
export interface DiscoveryStore {
  readMetadata(key: string): Promise<unknown>;
  saveMetadata(key: string, value: unknown, ttlSeconds: number): Promise<void>;
  /** `{}`: looked for, not there. An operator's own mapping stays as it is. */
  saveMapping(at: { malId: number; provider: string }, mapping: object, ttlSeconds: number): Promise<void>;
}

export interface ReadOptions {
  /** Counted against the rate limit; null: not counted. */
  readonly client: string | null;
  /** Lists older than a minute are due. */
  readonly refresh: boolean;
}

/** A list, and when it is worth another look: after a failure later and later, counted by the database. */
export interface ListToSave extends SourceList {
  readonly due_seconds?: number;
  /** What the site asked for. */
  readonly retry_after_seconds?: number;
}

export interface EpisodeStore {
  /** Claims what is due. @throws {Error} when the database does not answer, or not in this shape. */
  readEpisode(key: EpisodeKey, options: ReadOptions): Promise<Episode>;
  /** Caches the lists and enqueues every playable server of them; returns the queue of the episode. */
  saveSources(key: EpisodeKey, lists: Readonly<Record<string, ListToSave>>): Promise<readonly QueuedVideo[]>;
}

export function createEpisodeStore(supabase: SupabaseClient): EpisodeStore & DiscoveryStore {
  async function call(name: string, args: Record<string, unknown>): Promise<unknown> {
    const signal = AbortSignal.timeout(CALL_TIMEOUT_MS);
    const { data, error } = await supabase.rpc(name, wellFormed(args)).abortSignal(signal);
    if (error) throw new StoreError(`${name}: ${error.code} ${error.message}`, error.code ?? "");
    return data;
  }
  return {
    async readEpisode({ malId, episode }, { client, refresh }) {
      const args = { mal_id: malId, episode, client, reader_seconds: READER_SECONDS, refresh };
      return episodeSchema.parse(await call("read_episode", args));
    },
    async saveSources({ malId, episode }, lists) {
      return savedSchema.parse(await call("save_sources", { mal_id: malId, episode, lists })).queue;
    },
    readMetadata: (key) => call("read_metadata", { key }),
    async saveMetadata(key, value, ttlSeconds) {
      await call("save_metadata", { key, value, ttl_seconds: ttlSeconds });
    },
    async saveMapping({ malId, provider }, mapping, ttlSeconds) {
      await call("save_title_mapping", { mal_id: malId, provider, mapping, ttl_seconds: ttlSeconds });
    },
  };
}
