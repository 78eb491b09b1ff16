// What operators do with queue, catalogue and provider list: each one call of the database.
// Runs on: Deno, edge runtime.
import type { PostgrestError, SupabaseClient } from "@supabase/supabase-js";
import { z } from "zod";
import { type Video, videoSchema } from "../_shared/video.ts";
import type { CatalogueListEntry } from "../../sources/catalogue/entry.ts";
import type { ProviderListEntry } from "../../sources/providers/entry.ts";

const CALL_TIMEOUT_MS = 30_000;

/** What the database refused, with the HTTP status it stands for (`PT404` → 404). */
export class DatabaseRefusal extends Error {
  override readonly name = "DatabaseRefusal";
  readonly status: number;
  /** SQLSTATE, or PostgREST's own. */
  readonly code: string;
  constructor(error: PostgrestError, status: number) {
    super(error.message, { cause: error });
    this.status = status;
    this.code = error.code ?? "";
  }
}

export interface VideoFilter {
  readonly status: string | null;
  readonly malId: number | null;
  readonly limit: number;
  /** Go on after this one; null: from the start. */
  readonly after: Pick<Video, "id" | "updated_at"> | null;
}

export interface TitleMapping {
  /** null: looked for, and not there. */
  readonly page: string | null;
  readonly by_operator: boolean;
  readonly expires_at: string | null;
}

const mappingRows = z.array(z.object({
  mapping: z.looseObject({ page: z.string().optional() }),
  by_operator: z.boolean(),
  expires_at: z.string().nullable(),
}));

export interface ArchiveStore {
  counts(): Promise<unknown>;
  /** The last changed first. */
  listVideos(filter: VideoFilter): Promise<readonly Video[]>;
  /** Puts a failed job back in the queue with fresh attempts; null when there is no such failed job. */
  retryVideo(id: string): Promise<Video | null>;
  /** The documented statement for all failed jobs; returns how many. */
  retryFailed(): Promise<number>;
  cancelVideo(id: string): Promise<Video>;
  importCatalogue(entries: readonly CatalogueListEntry[], dryRun: boolean): Promise<unknown>;
  listProviders(): Promise<unknown>;
  /** Where a title lives at a provider, and who said so; null: nobody knows. */
  readMapping(at: { malId: number; provider: string }): Promise<TitleMapping | null>;
  /** Where a title lives at a provider, as the operator says; null forgets a mapping. */
  mapTitle(at: { malId: number; provider: string }, page: string | null): Promise<unknown>;
  applyProviders(entries: readonly ProviderListEntry[], dryRun: boolean): Promise<unknown>;
}

const VIDEO_COLUMNS = Object.keys(videoSchema.shape).join();

export function createArchiveStore(supabase: SupabaseClient): ArchiveStore {
  const signal = () => AbortSignal.timeout(CALL_TIMEOUT_MS);
  const rpc = async (name: string, args: Record<string, unknown>) =>
    dataOf(await supabase.rpc(name, args).abortSignal(signal()));

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
      const answer = await sorted.abortSignal(signal());
      return z.array(videoSchema).parse(dataOf(answer));
    },
    async retryVideo(id) {
      if (await rpc("retry_videos", { ids: [id] }) === 0) return null;
      const query = supabase.from("video_queue").select(VIDEO_COLUMNS).eq("id", id);
      return z.array(videoSchema).parse(dataOf(await query.abortSignal(signal())))[0] ?? null;
    },
    retryFailed: async () => Number(await rpc("retry_videos", {})),
    cancelVideo: async (id) => videoSchema.parse(await rpc("cancel_video", { id })),
    importCatalogue: (entries, dryRun) => rpc("import_catalogue", { entries, dry_run: dryRun }),
    async listProviders() {
      const query = supabase.from("providers").select("name,recipe,base_url,rights,config,enabled,position");
      return dataOf(await query.order("position").abortSignal(signal()));
    },
    async readMapping({ malId, provider }) {
      const query = supabase.from("title_mappings").select("mapping,by_operator,expires_at");
      const rows = dataOf(await query.eq("mal_id", malId).eq("provider", provider).limit(1).abortSignal(signal()));
      const [row] = mappingRows.parse(rows);
      if (row === undefined) return null;
      return { page: row.mapping.page ?? null, by_operator: row.by_operator, expires_at: row.expires_at };
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
