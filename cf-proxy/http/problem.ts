// Error answers: RFC 9457 problem+json that also carries `success: false` and `error`, as the public API does.
// Example: 403 {"type":"about:blank","title":"Forbidden","status":403,"code":"expired","detail":"…","success":false,…}
// Runs on: workerd.
import { COMMON_HEADERS } from "./headers.ts";

/** No source's response is served as this one. */
export const PROBLEM_TYPE = "application/problem+json";

const TITLES: Readonly<Record<number, string>> = {
  400: "Bad Request",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  410: "Gone",
  414: "URI Too Long",
  416: "Range Not Satisfiable",
  429: "Too Many Requests",
  451: "Unavailable For Legal Reasons",
  500: "Internal Server Error",
  502: "Bad Gateway",
  503: "Service Unavailable",
  504: "Gateway Timeout",
};

export interface Problem {
  readonly status: number;
  /** Stable name for programs. */
  readonly code: string;
  /** A sentence for people. Never holds an address with a query, nor a token. */
  readonly detail: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Further members, such as the episode's API address of source_expired. */
  readonly extra?: Readonly<Record<string, unknown>>;
}

export function problem({ status, code, detail, headers, extra }: Problem): Response {
  const title = TITLES[status] ?? "Error";
  const body = { type: "about:blank", title, status, code, detail, success: false, error: detail, ...extra };
  return new Response(JSON.stringify(body), {
    status,
    headers: {
      ...COMMON_HEADERS,
      "Content-Type": PROBLEM_TYPE,
      "Cache-Control": "no-store",
      ...headers,
    },
  });
}
