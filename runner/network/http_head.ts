/**
 * Parses the heads that the forward proxy passes on: turns a request in absolute-form into origin-form, finds a response's body length.
 * Pure. Example: `GET http://h/x HTTP/1.1` → originForm `GET /x HTTP/1.1`, without the proxy's own headers.
 */
const HOP_BY_HOP = new Set(["proxy-authorization", "proxy-connection", "connection", "keep-alive", "upgrade", "te"]);

export type RequestHead = {
  readonly method: string;
  /** `host:port` for CONNECT, else the absolute URL. */
  readonly target: string;
  readonly username: string | null;
  readonly password: string | null;
  readonly bodyLength: number;
  readonly keepAlive: boolean;
  readonly originForm: string;
};

export type ResponseHead = {
  readonly status: number;
  readonly text: string;
  readonly keepAlive: boolean;
  /** Infinity: the body ends when the connection closes. */
  readonly bodyLength: (method: string) => number | "chunked";
};

export function parseRequestHead(text: string): RequestHead | null {
  const [first = "", ...lines] = text.trimEnd().split("\r\n");
  const match = /^([A-Z]+) (\S+) HTTP\/1\.[01]$/.exec(first);
  if (match === null) return null;
  const [, method = "", target = ""] = match;
  const headers = parseHeaders(lines);
  if (headers === null || headers.some(([name]) => name === "transfer-encoding")) return null;
  const value = (name: string) => headers.find(([n]) => n === name)?.[1];
  const credentials = parseBasic(value("proxy-authorization"));
  const path = method === "CONNECT" ? "" : originPath(target);
  if (path === null) return null;
  if (method === "CONNECT" && !/^[^\s/@]+:\d{1,5}$/.test(target)) return null;
  const host = method === "CONNECT" ? target : new URL(target).host;
  const kept = headers.filter(([name]) => !HOP_BY_HOP.has(name) && name !== "host");
  return {
    method,
    target,
    username: credentials?.username ?? null,
    password: credentials?.password ?? null,
    bodyLength: Number(value("content-length") ?? 0) || 0,
    keepAlive: !/close/i.test(value("connection") ?? value("proxy-connection") ?? ""),
    originForm: `${method} ${path} HTTP/1.1\r\nHost: ${host}\r\n` +
      kept.map(([name, content]) => `${name}: ${content}\r\n`).join("") + "Connection: keep-alive\r\n\r\n",
  };
}

export function parseResponseHead(text: string): ResponseHead | null {
  const [first = "", ...lines] = text.trimEnd().split("\r\n");
  const match = /^HTTP\/1\.([01]) (\d{3})(?: .*)?$/.exec(first);
  if (match === null) return null;
  const headers = parseHeaders(lines);
  if (headers === null) return null;
  const status = Number(match[2]);
  const value = (name: string) => headers.find(([n]) => n === name)?.[1];
  const length = value("content-length");
  return {
    status,
    text,
    keepAlive: match[1] === "1" && !/close/i.test(value("connection") ?? ""),
    bodyLength: (method) => {
      if (method === "HEAD" || status === 204 || status === 304) return 0;
      const coding = value("transfer-encoding");
      if (coding !== undefined) return /(^|,)\s*chunked$/i.test(coding) ? "chunked" : Infinity;
      if (length === undefined || !/^\d+$/.test(length)) return Infinity;
      return Number(length);
    },
  };
}

/** Path and query as the client wrote them: re-encoding would invalidate signed URLs. */
function originPath(target: string): string | null {
  if (!URL.canParse(target) || !target.toLowerCase().startsWith("http://")) return null;
  const start = target.slice("http://".length).search(/[/?]/);
  if (start === -1) return "/";
  const path = target.slice("http://".length + start);
  return path.startsWith("?") ? `/${path}` : path;
}

function parseHeaders(lines: readonly string[]): [string, string][] | null {
  const headers: [string, string][] = [];
  for (const line of lines) {
    const colon = line.indexOf(":");
    if (colon <= 0) return null;
    headers.push([line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()]);
  }
  return headers;
}

function parseBasic(value: string | undefined): { username: string; password: string } | null {
  const encoded = /^Basic ([A-Za-z0-9+/=]+)$/i.exec(value ?? "")?.[1];
  if (encoded === undefined) return null;
  const [username = "", ...password] = atob(encoded).split(":");
  return { username, password: password.join(":") };
}
