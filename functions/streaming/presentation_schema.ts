// How an archive can be played, as runners of any version have stored it (core/presentation.ts): what cannot be read is not offered.
// Runs on: Deno, edge runtime.
import { z } from "zod";
import { SIDECAR_ENDING } from "../../core/presentation.ts";

const text = z.string().max(200);

export const presentationSchema = z.object({
  form: z.enum(["hybrid", "plain"]),
  duration: z.number(),
  tracks: z.array(z.object({
    kind: z.enum(["video", "audio", "subtitles"]),
    playlist: z.string().regex(/^(v|a\d{1,2}|s\d{1,2})$/).nullable(),
    codec: text.nullable(),
    language: text.nullable(),
    label: text,
    default: z.boolean(),
    forced: z.boolean(),
    height: z.number().nullable(),
  })),
});

/** The endings of the files that are stored beside the archive. */
export const sidecarsSchema = z.array(z.string().regex(SIDECAR_ENDING));

export type StoredPresentation = Readonly<z.infer<typeof presentationSchema>>;
