// Parses the two path parameters of an episode. Example: { malId: "55825", episode: "1" } → { malId: 55825, episode: 1 }.
// Runs on: Deno, edge runtime.
import { err, ok, type Result } from "../../core/result.ts";
import type { EpisodeKey } from "./episode_store.ts";

const MAX_MAL_ID = 2 ** 31 - 1;
const MAX_EPISODE = 100_000;

export function parseEpisodeKey(
  text: { readonly malId: string; readonly episode: string },
): Result<EpisodeKey, string> {
  const malId = wholeNumber(text.malId);
  if (malId === null || malId < 1 || malId > MAX_MAL_ID) return err(`mal_id must be a number from 1 to ${MAX_MAL_ID}`);
  const episode = wholeNumber(text.episode);
  if (episode === null || episode < 1 || episode > MAX_EPISODE) {
    return err(`episode must be a number from 1 to ${MAX_EPISODE}`);
  }
  return ok({ malId, episode });
}

function wholeNumber(text: string): number | null {
  return /^\d{1,10}$/.test(text) ? Number(text) : null;
}
