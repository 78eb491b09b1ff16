/** The chapters in video_store.media, as runners of any version have stored them. */
import { z } from "zod";
import type { ReportedChapter } from "../../core/media_report.ts";

const chapter = z.object({ seconds: z.number(), title: z.string(), kind: z.string().nullable().catch(null) });

export const storedChapters = z.array(chapter).nullish().catch(null);

export function chaptersOf(media: Readonly<Record<string, unknown>> | null): readonly ReportedChapter[] {
  return storedChapters.parse(media?.chapters) ?? [];
}
