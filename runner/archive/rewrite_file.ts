/** How the archives of this runner are rewritten, by the operator's policy, and what a rewritten file contains. */
import { mediaReportOf } from "../media/media_report_of.ts";
import { verifyMedia } from "../media/verify.ts";
import type { ArchivePolicy } from "../presentation/archive_policy.ts";
import { writePresentation } from "../presentation/write_presentation.ts";
import type { Rewrite } from "../sidecars/rewrite.ts";
import type { ProbedFile } from "./upgrade.ts";

export function rewriteBy(policy: ArchivePolicy): Rewrite {
  return (input, options) => writePresentation({ path: input }, { ...policy, ...options });
}

/** Counts every packet. Throws if the file is damaged. */
export async function probeFile(path: string, signal: AbortSignal): Promise<ProbedFile> {
  const expected = { videoTracks: null, audioTracks: null, subtitleTracks: null };
  const { durationSeconds, tracks } = await verifyMedia(path, { format: "mov", expected, joins: [], signal });
  return { durationSeconds, media: mediaReportOf(tracks) };
}
