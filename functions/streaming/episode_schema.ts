// The public response of an episode: schemas for its types, the OpenAPI document and tests. Runs on: Deno, edge runtime.
import { z } from "zod";
import { chapterSchema, SOURCE_STATES, subtitleSchema } from "../../sources/source_list.ts";
import { httpUrl } from "../_shared/openapi.ts";
import { mediaSchema } from "./media_schema.ts";

const trackSchema = z.strictObject({
  kind: z.enum(["video", "audio", "subtitles"]),
  language: z.string().nullable().describe("BCP 47; null if unknown."),
  label: z.string().describe("What a menu shows: `Japanese`. Text of a source: show it as text."),
  codec: z.string().nullable().describe("RFC 6381: `avc1.64001f`; null for subtitles and if unknown."),
  default: z.boolean(),
  forced: z.boolean(),
});

const publicSubtitleSchema = subtitleSchema.extend({
  url: httpUrl.describe("Signed proxy link; WebVTT of an archive loads in `<track>` with `crossorigin`."),
  source_url: httpUrl.nullable().describe("The provider's own URL; null for subtitles that are kept with the archive."),
}).strict();

export const serverSchema = z.strictObject({
  provider: z.string().describe("The server's display name: the site's label, or host and resolution."),
  url: httpUrl.describe("The embed page; the archive's URL if only the archive is left."),
  url_resolved: httpUrl.nullable().describe(
    "The media's URL, or the archive's once it is ready; null if nothing playable was found.",
  ),
  resolution: z.string().nullable().describe("`720p`, or null if the site does not state one."),
  width: z.number().int().nullable().describe("Pixels of the archived video, which may differ from `resolution`."),
  height: z.number().int().nullable(),
  media: mediaSchema.nullable().describe("What the archive contains; null if the video is not archived."),
  stream: httpUrl.nullable().describe("Signed proxy link to play; null if nothing playable was found."),
  kind: z.string().nullable().describe("mp4, hls, dash, mkv, webm or mega (decrypted by the proxy)."),
  archived: z.boolean().describe("Whether `stream` leads to the operator's archive."),
  archive: z.strictObject({
    state: z.string().describe("pending, downloading, uploading, ready or failed."),
    progress: z.unknown().describe("While archiving: phase and bytes; 1 when ready."),
  }).nullable().describe("null if the video is not archived, for example without archiving rights."),
  expires_at: z.iso.datetime().nullable().describe("When `stream` stops working; request the episode again then."),
  subtitles: z.array(publicSubtitleSchema).describe("The archive's own, or those that the provider lists."),
  tracks: z.array(trackSchema).describe(
    "Of the archived file, in its order; empty for a live server, whose playlist lists them.",
  ),
  hls: httpUrl.nullable().describe(
    "Signed link to the archive's own HLS playlist, with every audio language and subtitle; null if it has none.",
  ),
  poster: httpUrl.nullable().describe("Signed link to a JPEG of the archived video; null if there is none."),
  thumbnails: httpUrl.nullable().describe(
    "Signed link to a WebVTT index of a sprite sheet, for a seek bar; null if there is none.",
  ),
  duration: z.number().nullable().describe("Seconds of the archived file."),
  size_bytes: z.number().int().nullable().describe("Of the archived file."),
  codecs: z.string().nullable().describe(
    "`avc1.64001f,mp4a.40.2`: video and default audio of the archived file; null if unknown.",
  ),
  mime_type: z.string().nullable().describe("Of what `stream` leads to; null if unknown."),
  chapters: z.array(chapterSchema.strict()).optional(),
  code: z.string().optional().describe(
    "Why there is no `stream`: http_4xx, blocked, timeout, gone, quota, subscription, taken_down, …",
  ),
}).meta({ ref: "Server" });

export const providerStateSchema = z.strictObject({
  state: z.enum(SOURCE_STATES).describe("unknown: nothing was read (`not_read`)."),
  code: z.string().optional().describe(
    "no_mapping, empty, http_4xx, http_5xx, blocked, robots, provider_timeout, parse, not_read, …",
  ),
  took_ms: z.number().int(),
  cached: z.boolean(),
  age_seconds: z.number().int().optional().describe("Age of a cached list or failure."),
  retry_after_seconds: z.number().int().optional().describe(
    "When another request may find more. Until then the cached failure is returned and the site is not called.",
  ),
  master: httpUrl.nullable().describe(
    "Signed link to one HLS playlist with every archived quality of the provider; null if none can be played by HLS.",
  ),
}).meta({ ref: "ProviderState" });

export const episodeResponseSchema = z.strictObject({
  success: z.literal(true),
  mal_id: z.number().int(),
  episode: z.number().int(),
  title: z.string().nullable(),
  detail: z.string().optional().describe(
    "Why the response is incomplete: `read-only: …` while the database accepts no writes, is slow or locked.",
  ),
  data: z.record(z.string(), z.array(serverSchema).nullable()),
  providers: z.record(z.string(), providerStateSchema),
}).meta({ ref: "EpisodeResponse" });

export type PublicServer = Readonly<z.infer<typeof serverSchema>>;
export type ProviderState = Readonly<z.infer<typeof providerStateSchema>>;
export type EpisodeResponse = Readonly<z.infer<typeof episodeResponseSchema>>;
