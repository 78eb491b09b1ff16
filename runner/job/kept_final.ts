/** The final file and the texts beside it, which a later run of the job uploads if this one is interrupted. */
import { type Presentation, SIDECAR_ENDING } from "../../core/presentation.ts";
import { removeVideoSegments } from "../download/segment_journal.ts";
import { mediaReportOf } from "../media/media_report_of.ts";
import { emptyJobDir, type JobDir } from "../work_dir/work_dir.ts";
import type { Job } from "../queue/job.ts";
import type { Queue } from "../queue/queue.ts";
import { LISTED_TRACKS_FILE } from "./add_subtitles.ts";
import type { FetchedSource } from "./source_tools.ts";

const INTERMEDIATE = ["muxed.mp4", "remuxed.mp4", "joined.mp4", "listed.mp4", "media.bin", "mega.bin", "mega.bin.mega"];
/** What the heights of a source share. */
const SHARED = ["segments", LISTED_TRACKS_FILE];
/** An earlier version wrote the file. */
const UNKNOWN: Omit<Presentation, "duration"> = {
  form: "plain",
  plain_because: "an earlier version of the runner wrote the file",
  segments: 0,
  tracks: [],
};

/**
 * The final file of an earlier run that was not uploaded. It is this job's video, whichever candidate is first now. Partial downloads of
 * another candidate are deleted, and files of another height except those that both share.
 */
export async function keptFinal(dir: JobDir, source: string, job: Job): Promise<FetchedSource | null> {
  const state = await dir.readState();
  const isOwn = (state?.job ?? job.heightOf ?? job.id) === job.id;
  if (isOwn && state?.final !== undefined) {
    const path = `${dir.path}/final.mp4`;
    const { sizeBytes, sha256, durationSeconds, media: kept, texts: endings = [], heights = [] } = state.final;
    const size = (await Deno.stat(path).catch(() => null))?.size;
    const texts = await readTexts(dir, endings);
    if (size === sizeBytes && texts !== null) {
      const presentation = kept?.presentation ?? { ...UNKNOWN, duration: durationSeconds };
      const media = { ...(kept ?? mediaReportOf([])), presentation };
      return { final: { path, sizeBytes, sha256 }, durationSeconds, media, presentation, texts, heights };
    }
  }
  if (state !== null && state.source !== source) await emptyJobDir(dir.path);
  else if (!isOwn) await emptyJobDir(dir.path, SHARED);
  return null;
}

/** null if one is missing. */
async function readTexts(dir: JobDir, endings: readonly string[]): Promise<Map<string, string> | null> {
  const texts = new Map<string, string>();
  for (const ending of endings) {
    const text = SIDECAR_ENDING.test(ending) ? await Deno.readTextFile(textPath(dir, ending)).catch(() => null) : null;
    if (text === null) return null;
    texts.set(ending, text);
  }
  return texts;
}

export async function keepFinal(
  dir: JobDir,
  { source, fetched, isHeight }: { source: string; fetched: FetchedSource; isHeight: boolean },
): Promise<void> {
  const { sizeBytes, sha256 } = fetched.final;
  const { durationSeconds, media, texts, heights = [] } = fetched;
  for (const [ending, text] of texts) await Deno.writeTextFile(textPath(dir, ending), text);
  const final = { sizeBytes, sha256, durationSeconds, media, texts: [...texts.keys()], heights };
  await dir.writeState({ source, final });
  const isShared = isHeight || heights.length > 0;
  if (isShared) await removeVideoSegments(`${dir.path}/segments`);
  for (const name of isShared ? INTERMEDIATE : [...INTERMEDIATE, ...SHARED]) {
    await Deno.remove(`${dir.path}/${name}`, { recursive: true }).catch(() => {});
  }
}

/** Deletes the job's files. What further heights of its source share stays for them. */
export async function dropFiles(dir: JobDir, job: Job, queue: Pick<Queue, "hasOtherHeights">): Promise<void> {
  const mayBeShared = isHeight(job) || ((await dir.readState())?.final?.heights ?? []).length > 0;
  const unknown = () => true; // deleted with the leftovers
  if (!mayBeShared || !await queue.hasOtherHeights(job).catch(unknown)) return dir.discard();
  await emptyJobDir(dir.path, [...SHARED, "state.json"]);
  await removeVideoSegments(`${dir.path}/segments`);
}

export function isHeight({ heightOf = null }: Job): boolean {
  return heightOf !== null;
}

function textPath(dir: JobDir, ending: string): string {
  return `${dir.path}/final${ending}`;
}
