/** A claimed job and the rows that describe its archive, as the database functions return and take them. */
import { z } from "zod";
import type { ErrorClass } from "../../core/errors.ts";
import type { MediaReport } from "../../core/media_report.ts";
import { chapterSchema, subtitleSchema } from "../../sources/source_list.ts";

const headers = z.record(z.string(), z.string()).catch({});

/** An element that cannot be read is left out. */
function listOf<T>(element: z.ZodType<T>) {
  return z.array(element.nullable().catch(null)).nullish().transform((list) =>
    (list ?? []).filter((one) => one !== null)
  );
}

const candidateSchema = z.object({
  id: z.string().nullish(),
  embed_url: z.string().nullable(),
  video_url: z.string().nullable(),
  kind: z.string().nullable(),
  headers: headers.nullish(),
  exact: z.boolean().nullish(),
  listed_tracks: z.object({ subtitles: listOf(subtitleSchema), chapters: listOf(chapterSchema) }).nullish().catch(null),
}).transform((row) => ({
  id: row.id ?? null,
  embedUrl: row.embed_url,
  videoUrl: row.video_url,
  kind: row.kind,
  headers: row.headers ?? {},
  /** Only a variant of exactly the job's resolution is archived. */
  exact: row.exact ?? false,
  /** What the provider lists beside the video. */
  subtitles: row.listed_tracks?.subtitles ?? [],
  chapters: row.listed_tracks?.chapters ?? [],
}));

export const jobSchema = z.object({
  id: z.uuid(), // names a directory
  mal_id: z.number(),
  episode: z.number(),
  provider: z.string(),
  resolution: z.string().nullable(),
  lease_token: z.string(),
  attempts: z.number(),
  max_attempts: z.number(),
  candidates: z.array(candidateSchema).min(1),
  height_of: z.uuid().nullish(),
}).transform((row) => ({
  id: row.id,
  /** The job from whose source this further height is archived. */
  heightOf: row.height_of ?? null,
  malId: row.mal_id,
  episode: row.episode,
  provider: row.provider,
  resolution: row.resolution,
  leaseToken: row.lease_token,
  attempt: row.attempts,
  maxAttempts: row.max_attempts,
  candidates: row.candidates,
}));

export const leaseStateSchema = z.object({ id: z.string(), cancel_requested: z.boolean(), lost: z.boolean() });

export type Candidate = WithOptional<z.output<typeof candidateSchema>, "exact" | "subtitles" | "chapters">;
export type Job = Omit<WithOptional<z.output<typeof jobSchema>, "heightOf">, "candidates"> & {
  readonly candidates: readonly Candidate[];
};
type WithOptional<T, Key extends keyof T> = Omit<T, Key> & Partial<Pick<T, Key>>;
export type LeaseState = z.output<typeof leaseStateSchema>;

export type Failure = {
  readonly code: ErrorClass;
  readonly message: string;
  readonly retryAfterSeconds?: number | undefined;
  readonly candidateId: string | null;
};

export type ReplicaRow = {
  readonly target: string;
  readonly account: number | null;
  readonly repo: string | null;
  readonly path: string | null;
  readonly direct_url: string | null;
  readonly commit_oid: string | null;
  readonly sha256: string | null;
  readonly size_bytes: number | null;
  readonly state: "verified" | "uploading" | "failed";
};

export type ArchiveRow = {
  readonly fileKey: string;
  readonly sha256: string;
  readonly sizeBytes: number;
  readonly durationSeconds: number;
  readonly media: MediaReport;
  readonly replicas: readonly ReplicaRow[];
};

/** Another runner has the job now, or it has ended: stop working on it, write nothing. */
export class LeaseLost extends Error {
  override readonly name = "LeaseLost";
}
