/** What the manifest of a job's archive states. */
import type { ArchiveDescription } from "../sidecars/manifest_of.ts";
import type { Job } from "../queue/job.ts";
import type { JobTools } from "./job_tools.ts";
import type { FetchedSource } from "./source_tools.ts";

export async function describe(
  job: Job,
  { fetched, key, tools }: { fetched: FetchedSource; key: string; tools: Pick<JobTools, "queue"> },
): Promise<ArchiveDescription> {
  const { final, media, durationSeconds } = fetched;
  const candidate = job.candidates[0]!;
  const declared = await tools.queue.describeSource(job).catch(() => ({ rights: null, title: null })); // best-effort step
  const { mtime } = await Deno.stat(final.path); // the same if the job is resumed
  return {
    malId: job.malId,
    episode: job.episode,
    provider: job.provider,
    resolution: job.resolution,
    fileKey: key,
    file: final,
    durationSeconds,
    width: media.width,
    height: media.height,
    presentation: fetched.presentation,
    chapters: [...media.chapters ?? []],
    ...declared,
    page: candidate.embedUrl,
    kind: candidate.kind,
    archivedAt: mtime ?? new Date(0),
  };
}
