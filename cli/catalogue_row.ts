// Reads an episode from the operator's catalogue. Example: await readCatalogueRow(project, { malId: 55825, episode: 1 }).
import { createClient } from "@supabase/supabase-js";
import { z } from "zod";
import type { Database } from "../core/database.types.ts";
import type { ProviderToCheck } from "../sources/provider_check.ts";
import { subtitleSchema } from "../sources/source_list.ts";

/** As lenient as the functions: operators also write rows by hand. */
const sourcesSchema = z.array(z.object({
  url: z.string(),
  resolution: z.string().nullish(),
  kind: z.string().nullish(),
  label: z.string().nullish(),
  subtitles: z.array(subtitleSchema).nullish(),
}));

/** Null if there is no such row. @throws {Error} if the table cannot be read or the row is invalid */
export async function readCatalogueRow(
  { url, key }: { readonly url: string; readonly key: string },
  { malId, episode }: { readonly malId: number; readonly episode: number },
): Promise<ProviderToCheck["catalogue"]> {
  const client = createClient<Database>(url, key, { auth: { persistSession: false, autoRefreshToken: false } });
  const query = client.from("catalogue").select("title, rights, sources").eq("mal_id", malId).eq("episode", episode);
  const { data, error } = await query.abortSignal(AbortSignal.timeout(60_000)).maybeSingle();
  if (error) throw new Error(`the catalogue cannot be read: ${error.message}`);
  if (data === null) return null;
  const sources = sourcesSchema.safeParse(data.sources);
  if (!sources.success) throw new Error(`the sources of ${malId}/${episode} are invalid: import them again`);
  return { title: data.title, rights: data.rights, sources: sources.data };
}
