// Reads the names of a title from a metadata API in the format of Jikan.
// Example: GET {api}/anime/55825 → { data: { title, titles: [{ title }], title_english, year, aired } }. Runs on: Deno, edge.
import { z } from "zod";
import type { PageClient } from "../fetch/page_client.ts";
import { SourceError } from "../source_error.ts";
import type { WantedTitle } from "./title_match.ts";

const text = z.string().nullish();

const responseSchema = z.object({
  data: z.object({
    title: text,
    title_english: text,
    title_japanese: text,
    title_synonyms: z.array(z.string()).nullish(),
    titles: z.array(z.object({ title: z.string() })).nullish(),
    year: z.number().nullish(),
    aired: z.object({ from: text }).nullish(),
  }),
});

/** @throws {SourceError} `no_mapping` if the API does not have the title */
export async function readTitle(malId: number, apiUrl: string, pages: PageClient): Promise<WantedTitle> {
  const response = await readResponse(`${apiUrl.replace(/\/+$/, "")}/anime/${malId}`, pages);
  const parsed = responseSchema.safeParse(response);
  if (!parsed.success) {
    throw new SourceError("parse", "the metadata API's response is invalid", { cause: parsed.error });
  }
  const { title, title_english, title_japanese, title_synonyms, titles, year, aired } = parsed.data.data;
  const names = [
    title,
    title_english,
    ...(titles ?? []).map((one) => one.title),
    ...(title_synonyms ?? []),
    title_japanese,
  ];
  const distinct = [...new Set(names.flatMap((name) => name?.trim() ? [name.trim()] : []))];
  if (distinct.length === 0) throw new SourceError("no_mapping", "the metadata API names no title");
  const airedYear = Number(/^(\d{4})-/.exec(aired?.from ?? "")?.[1] ?? NaN);
  return { titles: distinct, year: year ?? (Number.isNaN(airedYear) ? null : airedYear) };
}

async function readResponse(url: string, pages: PageClient): Promise<unknown> {
  try {
    return await pages.json(url);
  } catch (error) {
    if (error instanceof SourceError && error.status === 404) {
      throw new SourceError("no_mapping", "the metadata API does not have the title", { cause: error });
    }
    throw error;
  }
}
