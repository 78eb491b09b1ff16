// A job as the operator API returns it: without URLs, which may be signed, and without leases. Example: { id: "…", mal_id: 55825, status: "failed", error_class: "gone", … }.
// Runs on: Deno, edge runtime.
import { z } from "zod";

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
