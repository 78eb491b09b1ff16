// DEV_ALLOWED_ORIGINS: origins on this machine or network that a development system may fetch from whatever the target policy says.
// Example: parseAllowedOrigins("http://192.168.1.10:8000") → ["http://192.168.1.10:8000"]. Runs on: Deno, edge runtime, workerd.
import { err, ok, type Result } from "./result.ts";

const HOST = /^(\[[0-9a-f:.]+\]|[a-z0-9._-]+)$/; // URL takes * for a host

/** A comma list of origins; a path, a user name or another scheme than http(s) is refused, since it would never match. */
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

/** Whether an address can only be on this machine. */
export function isLoopbackUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { hostname } = new URL(text);
  return hostname === "localhost" || hostname === "[::1]" || /^127\.\d+\.\d+\.\d+$/.test(hostname);
}
