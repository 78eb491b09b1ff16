// The database calls of the operator API: queue, catalogue, provider list and title mappings. Runs on: Deno, edge runtime.
import type { SupabaseClient } from "@supabase/supabase-js";
import { z } from "zod";
import type { Database } from "../../core/database.types.ts";
import { dataOf } from "../../core/rpc_error.ts";
import { callRpc, type RpcArgs, type RpcName } from "../_shared/rpc.ts";
import { type Video, videoSchema } from "../_shared/video.ts";
import type { CatalogueListEntry } from "../../sources/catalogue/entry.ts";
import type { ProviderListEntry } from "../../sources/providers/entry.ts";

const CALL_TIMEOUT_MS = 30_000;

export interface VideoFilter {
  readonly status: string | null;
  readonly malId: number | null;
  readonly limit: number;
  /** The last video of the previous page; null for the first page. */
  readonly after: Pick<Video, "id" | "updated_at"> | null;
}

export interface TitleMapping {
  /** null: searched for and not found. */
  readonly page: string | null;
  readonly by_operator: boolean;
  readonly expires_at: string | null;
}

const mappingRows = z.array(z.object({
  mapping: z.looseObject({ page: z.string().optional() }),
  by_operator: z.boolean(),
  expires_at: z.string().nullable(),
}));

export interface OperatorStore {
  counts(): Promise<unknown>;
  /** Most recently changed first. */
  listVideos(filter: VideoFilter): Promise<readonly Video[]>;
  /** Puts a failed job back in the queue with fresh attempts; null if there is no failed job with this id. */
  retryVideo(id: string): Promise<Video | null>;
  /** Puts every failed job back in the queue; returns the number of jobs. */
  retryFailed(): Promise<number>;
  cancelVideo(id: string): Promise<Video>;
  importCatalogue(entries: readonly CatalogueListEntry[], dryRun: boolean): Promise<unknown>;
  listProviders(): Promise<unknown>;
  /** The page of a title at a provider; null if it is not mapped. */
  readMapping(at: { malId: number; provider: string }): Promise<TitleMapping | null>;
  /** Sets the page of a title at a provider; null deletes the mapping. */
  mapTitle(at: { malId: number; provider: string }, page: string | null): Promise<unknown>;
  applyProviders(entries: readonly ProviderListEntry[], dryRun: boolean): Promise<unknown>;
}

const VIDEO_COLUMNS = Object.keys(videoSchema.shape).join();

export function createOperatorStore(supabase: SupabaseClient<Database>): OperatorStore {
  const signal = () => AbortSignal.timeout(CALL_TIMEOUT_MS);
  const rpc = <N extends RpcName>(name: N, args: RpcArgs<N>) => callRpc(supabase, name, args, CALL_TIMEOUT_MS);

  return {
    counts: () => rpc("queue_counts", {}),
    async listVideos({ status, malId, limit, after }) {
      let query = supabase.from("video_queue").select(VIDEO_COLUMNS);
      if (status !== null) query = query.eq("status", status);
      if (malId !== null) query = query.eq("mal_id", malId);
      if (after !== null) {
        const at = `"${after.updated_at}"`;
        query = query.or(`updated_at.lt.${at},and(updated_at.eq.${at},id.gt.${after.id})`);
      }
      const sorted = query.order("updated_at", { ascending: false }).order("id").limit(limit);
      return z.array(videoSchema).parse(dataOf("list videos", await sorted.abortSignal(signal())));
    },
    async retryVideo(id) {
      if (await rpc("retry_videos", { ids: [id] }) === 0) return null;
      const query = supabase.from("video_queue").select(VIDEO_COLUMNS).eq("id", id);
      return z.array(videoSchema).parse(dataOf("read video", await query.abortSignal(signal())))[0] ?? null;
    },
    retryFailed: async () => Number(await rpc("retry_videos", {})),
    cancelVideo: async (id) => videoSchema.parse(await rpc("cancel_video", { id })),
    importCatalogue: (entries, dryRun) => rpc("import_catalogue", { entries: entries, dry_run: dryRun }),
    async listProviders() {
      const query = supabase.from("providers").select("name,recipe,base_url,rights,qualities,config,enabled,position");
      return dataOf("list providers", await query.order("position").abortSignal(signal()));
    },
    async readMapping({ malId, provider }) {
      const query = supabase.from("title_mappings").select("mapping,by_operator,expires_at");
      const response = await query.eq("mal_id", malId).eq("provider", provider).limit(1).abortSignal(signal());
      const [row] = mappingRows.parse(dataOf("read mapping", response));
      if (row === undefined) return null;
      return { page: row.mapping.page ?? null, by_operator: row.by_operator, expires_at: row.expires_at };
    },
    async mapTitle({ malId, provider }, page) {
      if (page !== null) {
        return rpc("save_title_mapping", { mal_id: malId, provider, mapping: { page }, by_operator: true });
      }
      const removal = supabase.from("title_mappings").delete().eq("mal_id", malId).eq("provider", provider);
      return dataOf("delete mapping", await removal.abortSignal(signal()));
    },
    applyProviders: (entries, dryRun) => rpc("apply_providers", { entries: entries, dry_run: dryRun }),
  };
}
