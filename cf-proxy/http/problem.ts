// RFC 9457 problem documents that also carry `success: false` and `error`, as the public API's do.
// Example: 403 {"type":"about:blank","title":"Forbidden","status":403,"code":"expired","detail":"…","success":false,…}
import { COMMON_HEADERS } from "./headers.ts";

/** Never used for a source's response. */
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
  /** Stable, for programs. */
  readonly code: string;
  /** A sentence for people. Never contains a token, or a URL with a query. */
  readonly detail: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Extension members, such as `episode_url` of source_expired. */
  readonly extra?: Readonly<Record<string, unknown>>;
}

export function problemResponse({ status, code, detail, headers, extra }: Problem): Response {
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

export function badGateway(code: string, detail: string): Problem {
  return { status: 502, code, detail };
}

export function sourceTimeout(detail: string): Problem {
  return { status: 504, code: "source_timeout", detail };
}

export function redirectDenied(server: string, reason: string): Problem {
  return {
    status: 403,
    code: "redirect_denied",
    detail: `${server} redirected to a URL that is not allowed: ${reason}`,
  };
}
