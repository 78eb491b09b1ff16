// One HLS playlist for all archived qualities of a provider: the Worker adds the video of the others to the archive with the most audio
// and subtitle tracks, which is the largest if all have the same. Runs on: Deno, edge runtime.
import { MASTER_ENDING } from "../../core/presentation.ts";
import { archiveExpiry, durationOf, fileKeyOf, hasPlaylists } from "./archived_server.ts";
import {
  type ArchivedCopy,
  type EpisodeResponseInput,
  type EpisodeResponseTools,
  leadsToTakenDown,
} from "./response_input.ts";

/** Keys fit into a link, and a player's menu has no use for more. */
const MAX_QUALITIES = 16;
/** Servers of a provider may have another cut: a player could not switch between them. */
const MAX_DIFFERENCE_SECONDS = 2;

/** Null if no archive of the provider can be played by HLS. */
export async function providerMaster(
  copies: readonly ArchivedCopy[],
  input: EpisodeResponseInput,
  tools: EpisodeResponseTools,
): Promise<string | null> {
  const playable: ArchivedCopy[] = [];
  for (const copy of copies) {
    const isPlayable = hasPlaylists(copy) && fileKeyOf(copy.url) !== null;
    if (isPlayable && !await leadsToTakenDown(copy.url, input, tools)) playable.push(copy);
  }
  const largest = playable.toSorted((a, b) => heightOf(b) - heightOf(a));
  const main = largest.toSorted((a, b) => choicesOf(b) - choicesOf(a))[0];
  if (main === undefined) return null;
  const byHeight = new Map([[heightOf(main), main]]);
  for (const copy of largest) {
    if (byHeight.size < MAX_QUALITIES && !byHeight.has(heightOf(copy)) && isSameCut(copy, main)) {
      byHeight.set(heightOf(copy), copy);
    }
  }
  const files = [...byHeight.values()].map(({ url }) => fileKeyOf(url)!);
  const linkTo = await tools.links.signArchive({
    // A commit contains the files that were archived before it only.
    url: files.length === 1 ? main.url : main.url.replace(/\/resolve\/[^/]+\//, "/resolve/main/"),
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

function choicesOf({ media }: ArchivedCopy): number {
  return media?.presentation?.tracks.filter(({ kind }) => kind !== "video").length ?? 0;
}

function isSameCut(one: ArchivedCopy, other: ArchivedCopy): boolean {
  const [a, b] = [durationOf(one), durationOf(other)];
  return a === null || b === null || Math.abs(a - b) <= MAX_DIFFERENCE_SECONDS;
}
