// The two SQL calls of an answer, parsed: `read_episode` (everything a warm answer needs) and `save_sources` (cache and enqueue).
// Runs on: Deno, edge runtime.
import type { SupabaseClient } from "@supabase/supabase-js";
import { z } from "zod";
import { readOnlyReason } from "../_shared/read_only.ts";
import { wellFormed } from "../../core/well_formed.ts";
import { httpOnly } from "./http_only.ts";
import { type SourceList, sourceListSchema, subtitleSchema } from "../../sources/source_list.ts";

const CALL_TIMEOUT_MS = 10_000;
/** Nobody waits longer for what may fail without harm. */
const BEST_EFFORT_TIMEOUT_MS = 1_000;
/** An answer may wait for the list after it has waited for the episode. */
const TAKEDOWNS_TIMEOUT_MS = 2_000;
/** An isolate that is ended while it reads leaves its claims for so long. */
const CLAIM_SECONDS = 5;

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

const cachedListSchema = sourceListSchema.extend({ age_seconds: z.number(), due_in_seconds: z.number() })
  .transform((list) => ({ ...list, servers: httpOnly(list.servers) }));

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
  source_reads: z.record(z.string(), z.boolean()),
  /** Providers whose sites have failed again and again, whatever was asked of them. */
  open_circuits: z.record(z.string(), troubleSchema),
  store: z.array(storedSchema),
  queue: z.array(queuedSchema),
  taken_down: z.boolean().default(false),
  rate_limit: limitSchema.nullish(),
});

const takedownsSchema = z.object({ titles: z.array(z.number()), episodes: z.array(z.tuple([z.number(), z.number()])) });

const savedSchema = z.object({ queue: z.array(queuedSchema).default([]) });

export type Episode = z.infer<typeof episodeSchema>;
export type Takedowns = z.infer<typeof takedownsSchema>;
export type RateLimit = z.infer<typeof limitSchema>;
export type CachedList = z.infer<typeof cachedListSchema>;
export type EpisodeProvider = Episode["providers"][number];
export type StoredVideo = z.infer<typeof storedSchema>;
export type QueuedVideo = z.infer<typeof queuedSchema>;

export interface EpisodeKey {
  readonly malId: number;
  readonly episode: number;
}

/** The database did not do it. */
export class StoreError extends Error {
  override readonly name = "StoreError";
  /** Because of what it was given, so that less of it may be taken. */
  readonly refused: boolean;
  /** Why a call that writes nothing may still be answered; null: no such reason. */
  readonly readOnly: string | null;

  constructor(message: string, code: string) {
    super(message);
    this.readOnly = readOnlyReason(code);
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
  /** Whether what is due is claimed for this isolate. */
  readonly claim: boolean;
}

/** A list, and when it is worth another look: after a failure later and later, counted by the database. */
export interface ListToSave extends SourceList {
  readonly due_seconds?: number;
  /** Since its read began. */
  readonly age_seconds?: number;
  /** What the site asked for. */
  readonly retry_after_seconds?: number;
}

export interface EpisodeStore {
  /** @throws {Error} when the database does not answer, or not in this shape. */
  readEpisode(key: EpisodeKey, options: ReadOptions): Promise<Episode>;
  /** Caches the lists and enqueues every playable server of them; returns the queue of the episode. */
  saveSources(key: EpisodeKey, lists: Readonly<Record<string, ListToSave>>): Promise<readonly QueuedVideo[]>;
  /** What is taken down. @throws {StoreError} */
  listTakedowns(): Promise<Takedowns>;
  /** Keeps this isolate's claims while it reads. */
  renewReads(key: EpisodeKey, providers: readonly string[]): Promise<void>;
}

export function createEpisodeStore(supabase: SupabaseClient): EpisodeStore & DiscoveryStore {
  async function call(name: string, args: Record<string, unknown>, timeoutMs = CALL_TIMEOUT_MS): Promise<unknown> {
    const signal = AbortSignal.timeout(timeoutMs);
    const { data, error } = await supabase.rpc(name, wellFormed(args)).abortSignal(signal);
    if (error) throw new StoreError(`${name}: ${error.code} ${error.message}`, error.code ?? "");
    return data;
  }
  const tryCall = (name: string, args: Record<string, unknown>) => call(name, args, BEST_EFFORT_TIMEOUT_MS);
  return {
    async readEpisode({ malId, episode }, { client, refresh, claim }) {
      const args = { mal_id: malId, episode, client, reader_seconds: claim ? CLAIM_SECONDS : 0, refresh };
      return episodeSchema.parse(await call("read_episode", args));
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
