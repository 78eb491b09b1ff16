// A job of the queue as operators see it. Example: { id: "…", mal_id: 55825, status: "failed", error_class: "gone", … }.
// Runs on: Deno, edge runtime.
import { z } from "zod";

/** A job as operators see it: no addresses, which may be signed, and no leases. */
export const videoSchema = z.object({
  id: z.string(),
  mal_id: z.number(),
  episode: z.number(),
  provider: z.string(),
  resolution: z.string().nullable(),
  status: z.string(),
  retry_count: z.number(),
  attempts: z.number(),
  error_class: z.string().nullable(),
  error_message: z.string().nullable(),
  progress: z.unknown(),
  run_at: z.string().nullable(),
  terminal_at: z.string().nullable(),
  created_at: z.string(),
  updated_at: z.string(),
});

export type Video = z.infer<typeof videoSchema>;
