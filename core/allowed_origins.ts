// DEV_ALLOWED_ORIGINS: private origins that a development system may fetch from in spite of the URL policy.
// Example: parseAllowedOrigins("http://192.168.1.10:8000") → ["http://192.168.1.10:8000"]
import { err, ok, type Result } from "./result.ts";

const HOST = /^(\[[0-9a-f:.]+\]|[a-z0-9._-]+)$/; // URL accepts `*` in a host

/** Comma-separated origins. A path, a user name or a scheme other than http(s) is refused, because it would never match. */
export function parseAllowedOrigins(text: string): Result<readonly string[], string> {
  const origins: string[] = [];
  for (const part of text.split(",").map((one) => one.trim()).filter((one) => one !== "")) {
    const url = URL.canParse(part) ? new URL(part) : null;
    if (
      url === null || !/^https?:$/.test(url.protocol) || !HOST.test(url.hostname) ||
      (part !== url.origin && part !== `${url.origin}/`)
    ) {
      return err(`${part} is not an origin: write scheme, host and port alone, such as http://192.168.1.10:8000`);
    }
    origins.push(url.origin);
  }
  return ok(origins);
}

/** Whether a URL's host is this machine: `localhost`, 127.0.0.0/8 or ::1. */
export function isLoopbackUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { hostname } = new URL(text);
  return hostname === "localhost" || hostname === "[::1]" || /^127\.\d+\.\d+\.\d+$/.test(hostname);
}
