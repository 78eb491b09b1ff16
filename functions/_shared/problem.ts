// Errors as RFC 9457 problem documents, with the `success: false` and `error` of the first release.
// Example: problem(c, { status: 400, code: "invalid_input", detail: "mal_id must be …" }). Runs on: Deno, edge runtime.
import type { Context } from "hono";

export interface Problem {
  readonly status: 400 | 401 | 403 | 404 | 405 | 406 | 409 | 413 | 415 | 422 | 429 | 451 | 500 | 503;
  readonly code: string;
  readonly detail: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly more?: Readonly<Record<string, unknown>>;
}

const TITLES: Readonly<Record<Problem["status"], string>> = {
  400: "Bad request",
  401: "Not authenticated",
  403: "Not allowed",
  404: "Not found",
  405: "Method not allowed",
  406: "Not acceptable",
  409: "Conflict",
  413: "Too large",
  415: "Unsupported media type",
  422: "Cannot be processed",
  429: "Too many requests",
  451: "Unavailable for legal reasons",
  500: "Internal error",
  503: "Not available",
};

export function problem(c: Context, { status, code, detail, headers, more }: Problem): Response {
  const body = {
    type: "about:blank",
    title: TITLES[status],
    status,
    code,
    detail,
    success: false,
    error: detail,
    request_id: c.get("requestId"),
    ...more,
  };
  return c.body(JSON.stringify(body), status, {
    "content-type": "application/problem+json",
    "cache-control": "no-store",
    ...headers,
  });
}

/** @param reason Null if healthy. */
export function respondHealth(c: Context, reason: string | null): Response {
  if (reason === null) return c.json({ success: true }, 200, { "cache-control": "no-store" });
  return problem(c, { status: 503, code: "unhealthy", detail: reason, headers: { "retry-after": "5" } });
}
