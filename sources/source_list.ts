// A provider's servers for one episode, in the shape that `save_sources` stores and `read_episode` returns.
// Example: { state: "ok", servers: [{ label: "Vidhidepro 720p", embed_url: "https://…", video_url: "https://…", … }] }.
// Runs on: Deno, edge runtime.
import { z } from "zod";
import type { HttpUrl } from "../core/http_url.ts";

export const subtitleSchema = z.object({
  url: z.string(),
  language: z.string().nullish(),
  label: z.string().nullish(),
  kind: z.string().nullish(),
});

export const chapterSchema = z.object({
  seconds: z.number(),
  title: z.string(),
  kind: z.string().nullish().describe(
    "intro, outro, recap, preview, …; null or missing: part of the story, or unknown.",
  ),
});

export const sourceServerSchema = z.object({
  label: z.string(),
  embed_url: z.string(),
  /** The media URL; null if nothing playable was resolved. */
  video_url: z.string().nullable().default(null),
  kind: z.string().nullable().default(null),
  resolution: z.string().nullable().default(null),
  /** Request headers for the media host, such as Referer. */
  headers: z.record(z.string(), z.string()).default({}),
  /** ISO 8601 time at which `video_url` expires; null if unknown. */
  expires_at: z.string().nullable().default(null),
  subtitles: z.array(subtitleSchema).default([]),
  chapters: z.array(chapterSchema).optional(),
  /** Why there is no `video_url`. */
  code: z.string().nullish(),
});

/** `unknown`: nothing was read. */
export const SOURCE_STATES = ["ok", "empty", "failed", "timeout", "unknown"] as const;

export const sourceListSchema = z.object({
  state: z.enum(SOURCE_STATES),
  code: z.string().nullish(),
  servers: z.array(sourceServerSchema).default([]),
});

export type Subtitle = z.infer<typeof subtitleSchema>;
/** A subtitle as a recipe or resolver reports it. */
export interface FoundSubtitle extends Subtitle {
  readonly url: HttpUrl;
}

export type Chapter = z.infer<typeof chapterSchema>;
export type SourceServer = z.infer<typeof sourceServerSchema>;
export type SourceList = z.infer<typeof sourceListSchema>;
