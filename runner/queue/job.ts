/** A claimed job and the rows that describe its archive, as the database functions return and take them. */
import { z } from "zod";
import type { ErrorClass } from "../../core/errors.ts";
import type { MediaReport } from "../../core/media_report.ts";

const headers = z.record(z.string(), z.string()).catch({});

const candidateSchema = z.object({
  id: z.string().nullish(),
  embed_url: z.string().nullable(),
  video_url: z.string().nullable(),
  kind: z.string().nullable(),
  headers: headers.nullish(),
}).transform((row) => ({
  id: row.id ?? null,
  embedUrl: row.embed_url,
  videoUrl: row.video_url,
  kind: row.kind,
  headers: row.headers ?? {},
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
}).transform((row) => ({
  id: row.id,
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

export type Candidate = z.output<typeof candidateSchema>;
export type Job = z.output<typeof jobSchema>;
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
