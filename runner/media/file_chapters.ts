/** The chapters inside a file, as its container states them. Needs ffprobe on PATH. Example: `await readChapters("final.mp4", signal)`. */
import { z } from "zod";
import type { ReportedChapter } from "../../core/media_report.ts";
import { chapterKind } from "../../sources/page/chapter_kind.ts";
import { runChildForText } from "../process/child.ts";

const MAX_CHAPTERS = 500;

const schema = z.object({
  chapters: z.array(z.object({
    start_time: z.coerce.number().min(0).max(1e6),
    tags: z.object({ title: z.string().catch("") }).catch({ title: "" }),
  })).max(MAX_CHAPTERS),
});

/** Empty if there is none, or if they cannot be read. @throws the signal's reason */
export async function readChapters(path: string, signal: AbortSignal): Promise<readonly ReportedChapter[]> {
  const { code, stdout } = await runChildForText("ffprobe", [
    ...["-v", "error", "-f", "mov", "-protocol_whitelist", "file", "-show_chapters", "-of", "json", `file:${path}`],
  ], { signal });
  const parsed = code === 0 ? schema.safeParse(parseJson(stdout)).data : undefined;
  return (parsed?.chapters ?? []).map(({ start_time: seconds, tags: { title } }) => ({
    seconds,
    title,
    kind: chapterKind(title),
  }));
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
