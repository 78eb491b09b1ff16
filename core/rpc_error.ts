/**
 * A failed call of the database through PostgREST.
 * Example: `const video = dataOf("cancel_video", await supabase.rpc("cancel_video", { id }))`.
 */
import { redactText } from "./redact.ts";

export class RpcError extends Error {
  override readonly name = "RpcError";
  /** 0: no response arrived. */
  readonly status: number;
  /** SQLSTATE, a `PT…` code of our functions, or a `PGRST…` code. An error of a proxy in between has none. */
  readonly code: string | undefined;
  /** The database's message, without the name of the call. */
  readonly detail: string;

  /** `call`: the function or table. */
  constructor(call: string, failure: { status: number; message: string; code?: string | undefined }) {
    const detail = redactText(failure.message);
    super(`${call}: ${detail}`);
    this.detail = detail;
    this.status = failure.status;
    this.code = failure.code || undefined;
  }

  /** No response, or one of an overloaded server: the call may or may not have been executed. */
  get isUnavailable(): boolean {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }

  /** The named row does not exist. A function that does not exist is a 404 of PostgREST's own. */
  get isMissingRow(): boolean {
    return this.status === 404 && !this.code?.startsWith("PGRST");
  }

  /** The arguments were refused: the same call fails again, a call with fewer of them may succeed. */
  get isInvalidInput(): boolean {
    return /^(?:22|23|PT4|PGRST1)/.test(this.code ?? ""); // SQLSTATE classes 22 (data exception) and 23 (constraint)
  }
}

/** The response of supabase-js, as far as it is used here. */
export interface RpcResponse<T> {
  readonly data: T;
  readonly error: { readonly message: string; readonly code?: string } | null;
  readonly status: number;
}

/** The data of a response. @throws {RpcError} */
export function dataOf<T>(call: string, { data, error, status }: RpcResponse<T>): T {
  if (error === null) return data;
  throw new RpcError(call, { code: error.code, status, message: error.message });
}
