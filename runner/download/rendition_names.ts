/**
 * Names of a plan's renditions in the journal: equal for the same rendition of the same source, whatever its URLs. So a download that was
 * killed resumes, and the audio that several heights share is fetched once. Example: `await renditionNames(plan)` → ["video-0b1c…", "audio-77ae…"].
 */
import type { HlsPlan, PlannedRendition } from "./hls_plan.ts";

const DIGEST_CHARACTERS = 16;

export async function renditionNames({ renditions }: Pick<HlsPlan, "renditions">): Promise<string[]> {
  const counts = new Map<string, number>();
  const names: string[] = [];
  for (const rendition of renditions) {
    const name = `${rendition.role}-${await fingerprint(rendition)}`;
    const count = counts.get(name) ?? 0;
    counts.set(name, count + 1);
    names.push(count === 0 ? name : `${name}x${count}`);
  }
  return names;
}

/** Equal durations and file names (without directories and tokens) mean that the bytes on disk belong to this rendition. */
async function fingerprint({ id, segments }: PlannedRendition): Promise<string> {
  const lines = segments.map(({ sequence, durationSeconds, url, byteRange }) => {
    const span = byteRange ? `${byteRange.offset}+${byteRange.length}` : "";
    return `${sequence} ${durationSeconds} ${new URL(url).pathname.split("/").at(-1)} ${span}`;
  });
  const text = new TextEncoder().encode([id, ...lines].join("\n"));
  return new Uint8Array(await crypto.subtle.digest("SHA-256", text)).toHex().slice(0, DIGEST_CHARACTERS);
}
