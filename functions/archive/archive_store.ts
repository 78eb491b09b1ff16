// What operators do with queue, catalogue and provider list: each one call of the database.
// Runs on: Deno, edge runtime.
import type { PostgrestError, SupabaseClient } from "@supabase/supabase-js";
import type { CatalogueListEntry } from "../../sources/catalogue_entry.ts";
import type { ProviderListEntry } from "../../sources/provider_entry.ts";

const CALL_TIMEOUT_MS = 30_000;

/** What the database refused, with the HTTP status it stands for (`PT404` → 404). */
export class DatabaseRefusal extends Error {
  override readonly name = "DatabaseRefusal";
  readonly status: number;
  constructor(error: PostgrestError, status: number) {
    super(error.message, { cause: error });
    this.status = status;
  }
}

export interface VideoFilter {
  readonly status: string | null;
  readonly malId: number | null;
  readonly limit: number;
}

export interface ArchiveStore {
  counts(): Promise<unknown>;
  listVideos(filter: VideoFilter): Promise<unknown>;
  /** Puts a failed job back in the queue with fresh attempts; null when there is no such failed job. */
  retryVideo(id: string): Promise<unknown>;
  /** The documented statement for all failed jobs; returns how many. */
  retryFailed(): Promise<number>;
  cancelVideo(id: string): Promise<unknown>;
  importCatalogue(entries: readonly CatalogueListEntry[], dryRun: boolean): Promise<unknown>;
  listProviders(): Promise<unknown>;
  /** Where a title lives at a provider, as the operator says; null forgets a mapping. */
  mapTitle(at: { malId: number; provider: string }, page: string | null): Promise<unknown>;
  applyProviders(entries: readonly ProviderListEntry[], dryRun: boolean): Promise<unknown>;
}

const VIDEO_COLUMNS = "id,mal_id,episode,provider,resolution,status,retry_count,attempts,error_class,error_message," +
  "progress,run_at,terminal_at,created_at,updated_at";

export function createArchiveStore(supabase: SupabaseClient): ArchiveStore {
  const signal = () => AbortSignal.timeout(CALL_TIMEOUT_MS);
  const rpc = async (name: string, args: Record<string, unknown>) =>
    dataOf(await supabase.rpc(name, args).abortSignal(signal()));

  return {
    counts: () => rpc("queue_counts", {}),
    async listVideos({ status, malId, limit }) {
      let query = supabase.from("video_queue").select(VIDEO_COLUMNS);
      if (status !== null) query = query.eq("status", status);
      if (malId !== null) query = query.eq("mal_id", malId);
      return dataOf(await query.order("updated_at", { ascending: false }).limit(limit).abortSignal(signal()));
    },
    async retryVideo(id) {
      if (await rpc("retry_videos", { ids: [id] }) === 0) return null;
      const query = supabase.from("video_queue").select(VIDEO_COLUMNS).eq("id", id);
      return (dataOf(await query.abortSignal(signal())) as unknown[])[0] ?? null;
    },
    retryFailed: async () => Number(await rpc("retry_videos", {})),
    cancelVideo: (id) => rpc("cancel_video", { id }),
    importCatalogue: (entries, dryRun) => rpc("import_catalogue", { entries, dry_run: dryRun }),
    async listProviders() {
      const query = supabase.from("providers").select("name,recipe,base_url,rights,config,enabled,position");
      return dataOf(await query.order("position").abortSignal(signal()));
    },
    async mapTitle({ malId, provider }, page) {
      if (page !== null) {
        return rpc("save_title_mapping", { mal_id: malId, provider, mapping: { page }, by_operator: true });
      }
      const removal = supabase.from("title_mappings").delete().eq("mal_id", malId).eq("provider", provider);
      return dataOf(await removal.abortSignal(signal()));
    },
    applyProviders: (entries, dryRun) => rpc("apply_providers", { entries, dry_run: dryRun }),
  };
}

function dataOf(answer: { data: unknown; error: PostgrestError | null; status: number }): unknown {
  if (answer.error) throw new DatabaseRefusal(answer.error, answer.status);
  return answer.data;
}
