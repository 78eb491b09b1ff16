// One HLS playlist for all archived qualities of a provider: the Worker adds the video of the others to that of the largest, which has
// the audio and subtitles. Runs on: Deno, edge runtime.
import { MASTER_ENDING } from "../../core/presentation.ts";
import { archiveExpiry, fileKeyOf, hasPlaylists } from "./archived_server.ts";
import {
  type ArchivedCopy,
  type EpisodeResponseInput,
  type EpisodeResponseTools,
  leadsToTakenDown,
} from "./response_input.ts";

/** Keys fit into a link, and a player's menu has no use for more. */
const MAX_QUALITIES = 16;

/** Null if no archive of the provider can be played by HLS. */
export async function providerMaster(
  copies: readonly ArchivedCopy[],
  input: EpisodeResponseInput,
  tools: EpisodeResponseTools,
): Promise<string | null> {
  const byHeight = new Map<number, ArchivedCopy>();
  for (const copy of copies.toSorted((a, b) => heightOf(b) - heightOf(a))) {
    if (!hasPlaylists(copy) || fileKeyOf(copy.url) === null) continue;
    if (byHeight.has(heightOf(copy)) || byHeight.size === MAX_QUALITIES) continue;
    if (!await leadsToTakenDown(copy.url, input, tools)) byHeight.set(heightOf(copy), copy);
  }
  const [main, ...others] = byHeight.values();
  if (main === undefined) return null;
  const files = [main, ...others].map(({ url }) => fileKeyOf(url)!);
  const linkTo = await tools.links.signArchive({
    // A commit contains the files that were archived before it only.
    url: others.length === 0 ? main.url : main.url.replace(/\/resolve\/[^/]+\//, "/resolve/main/"),
    files,
    expiresAt: archiveExpiry(main, tools),
    episode: { ...input.key, provider: main.provider },
  });
  return linkTo && linkTo(files[0]! + MASTER_ENDING);
}

/** 0 for audio only. */
function heightOf({ height, media }: ArchivedCopy): number {
  return height ?? media?.presentation?.tracks.find(({ kind }) => kind === "video")?.height ?? 0;
}
