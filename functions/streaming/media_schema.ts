// What an archive contains, and what was chosen, converted and left out: video_store.media and the response. core/media_report.ts is the
// runner's type. Runs on: Deno, edge runtime.
import { z } from "zod";

const trackType = z.enum(["video", "audio", "subtitles"]);

export const mediaSchema = z.object({
  tracks: z.array(z.object({
    type: trackType,
    codec: z.string().describe("As ffprobe names it: h264, hevc, aac, …"),
    language: z.string().nullable(),
    name: z.string().nullable(),
  })),
  variant: z.object({
    width: z.number().int().nullable(),
    height: z.number().int().nullable(),
    bandwidth: z.number().describe("Bits per second."),
    codecs: z.string().nullable(),
    frame_rate: z.number().nullable(),
    reason: z.string().describe("`matches 720p; AVC and AAC before HEVC`."),
  }).nullable().describe("The variant that was archived; null if the source offers no choice."),
  converted: z.array(z.object({ track: trackType, code: z.string(), detail: z.string() })).describe(
    "What was not copied unchanged.",
  ),
  left_out: z.array(z.object({
    kind: z.enum(["audio", "subtitles", "segment"]),
    code: z.string().describe("not_found, unreadable, unavailable, empty, other_group, …"),
    detail: z.string(),
  })).describe("What the source lists and the archive does not contain."),
}).meta({ ref: "Media" });
