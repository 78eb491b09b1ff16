/**
 * Calls the SQL functions as the REST layer does – by argument name – and tells a refusal by its code.
 *
 * @example const [job] = await rpc(database.serviceRole, "claim_pending_videos", { limit: 1, worker: "a" });
 */
import type { Sql } from "postgres";

export type Row = Readonly<Record<string, unknown>>;
export type Arguments = Readonly<Record<string, unknown>>;

/** One row of `claim_pending_videos`, as far as tests look at it. */
export interface ClaimedJob extends Row {
  readonly id: string;
  readonly mal_id: number;
  readonly status: string;
  readonly attempts: number;
  readonly lease_token: string;
  readonly lease_epoch: number;
  readonly lease_expires_at: Date;
  readonly candidates: readonly { readonly id: string; readonly rank: number; readonly video_url: string }[];
}

/** Rows of a function; one row for a function that returns a composite or a scalar. */
export function rpc<T extends Row = Row>(sql: Sql, name: string, args: Arguments = {}): Promise<T[]> {
  const names = Object.keys(args);
  const list = names.map((argument, index) => `"${argument}" => $${index + 1}`).join(", ");
  const values = names.map((argument) => args[argument]) as never[];
  return sql.unsafe<T[]>(`select * from public.${name}(${list})`, values) as unknown as Promise<T[]>;
}

/** The SQLSTATE a call is refused with ("PT409"), or "accepted". */
export async function outcome(call: PromiseLike<unknown>): Promise<string> {
  try {
    await call;
    return "accepted";
  } catch (error) {
    return codeOf(error);
  }
}

export function codeOf(error: unknown): string {
  if (error instanceof Error && "code" in error && typeof error.code === "string") return error.code;
  throw error;
}

export const SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

/** Arguments of `upsert_video_store` for one verified copy. */
export function archiveOf(job: Row, overrides: Arguments = {}): Arguments {
  const path = `${job["mal_id"]}/ep${job["episode"]}/0123456789abcdef0123456789abcdef.mp4`;
  const copy = {
    target: "hf-1",
    account: 1,
    repo: "user-1/media",
    path,
    commit_oid: "c0ffee",
    sha256: SHA256,
    size_bytes: 4,
    state: "verified",
  };
  return {
    mal_id: job["mal_id"],
    episode: job["episode"],
    provider: job["provider"],
    resolution: job["resolution"],
    file_key: "0123456789abcdef0123456789abcdef",
    hf_account: 1,
    hf_repo: "user-1/media",
    hf_path: path,
    hf_direct_url: `https://hub.test/datasets/user-1/media/resolve/c0ffee/${path}`,
    stream_url: null,
    lease_token: job["lease_token"],
    sha256: SHA256,
    size_bytes: 4,
    duration_seconds: 1.5,
    replicas: [copy],
    ...overrides,
  };
}
