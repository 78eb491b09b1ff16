/** The final file and the texts beside it, which a later run of the job uploads if this one is interrupted. */
import { type Presentation, SIDECAR_ENDING } from "../../core/presentation.ts";
import { mediaReportOf } from "../media/media_report_of.ts";
import { emptyJobDir, type JobDir } from "../work_dir/work_dir.ts";
import type { FetchedSource } from "./source_tools.ts";

const INTERMEDIATE = ["segments", "muxed.mp4", "remuxed.mp4", "joined.mp4", "media.bin", "mega.bin", "mega.bin.mega"];
/** An earlier version wrote the file. */
const UNKNOWN: Omit<Presentation, "duration"> = {
  form: "plain",
  plain_because: "an earlier version of the runner wrote the file",
  segments: 0,
  tracks: [],
};

/**
 * The final file of an earlier run that was not uploaded. It is this job's video, whichever candidate is first now. Partial downloads of
 * another candidate are deleted.
 */
export async function keptFinal(dir: JobDir, source: string): Promise<FetchedSource | null> {
  const state = await dir.readState();
  if (state?.final !== undefined) {
    const path = `${dir.path}/final.mp4`;
    const { sizeBytes, sha256, durationSeconds, media: kept, texts: endings = [] } = state.final;
    const size = (await Deno.stat(path).catch(() => null))?.size;
    const texts = await readTexts(dir, endings);
    if (size === sizeBytes && texts !== null) {
      const presentation = kept?.presentation ?? { ...UNKNOWN, duration: durationSeconds };
      const media = { ...(kept ?? mediaReportOf([])), presentation };
      return { final: { path, sizeBytes, sha256 }, durationSeconds, media, presentation, texts };
    }
  }
  if (state !== null && state.source !== source) await emptyJobDir(dir.path);
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
  { source, fetched }: { source: string; fetched: FetchedSource },
): Promise<void> {
  const { sizeBytes, sha256 } = fetched.final;
  const { durationSeconds, media, texts } = fetched;
  for (const [ending, text] of texts) await Deno.writeTextFile(textPath(dir, ending), text);
  const final = { sizeBytes, sha256, durationSeconds, media, texts: [...texts.keys()] };
  await dir.writeState({ source, final });
  for (const name of INTERMEDIATE) await Deno.remove(`${dir.path}/${name}`, { recursive: true }).catch(() => {});
}

function textPath(dir: JobDir, ending: string): string {
  return `${dir.path}/final${ending}`;
}
