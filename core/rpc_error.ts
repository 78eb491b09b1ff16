/**
 * A failed call of the database through PostgREST.
 * Example: `if (error !== null) throw new RpcError("claim_pending_videos", { ...error, status })`.
 */
import { redactText } from "./redact.ts";

export class RpcError extends Error {
  override readonly name = "RpcError";
  /** 0: no response arrived. */
  readonly status: number;
  /** SQLSTATE, a `PT…` code of our functions, or a `PGRST…` code. An error of a proxy in between has none. */
  readonly code: string | undefined;

  /** `call`: the function or table. */
  constructor(call: string, failure: { status: number; message: string; code?: string | undefined }) {
    super(`${call}: ${redactText(failure.message)}`);
    this.status = failure.status;
    this.code = failure.code || undefined;
  }

  /** No answer, or one that asks to repeat the call: it may or may not have been executed. */
  get isUnavailable(): boolean {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }

  /** The named row does not exist. A function that does not exist is a 404 of PostgREST's own. */
  get isMissingRow(): boolean {
    return this.status === 404 && !this.code?.startsWith("PGRST");
  }
}
