// Probes the Worker: reachable, and configured with the same signing key. Runs on: Deno, edge runtime.
import { type SigningKeys, signLink } from "../../core/link.ts";

const TIMEOUT_MS = 3_000;
/** Unix seconds. The Worker verifies the signature of an expired link, and fetches nothing. */
const EXPIRED_AT = 1;

export interface WorkerProbeOptions {
  readonly proxyBaseUrl: string;
  readonly keys: SigningKeys;
  /** A URL that every Worker accepts. */
  readonly hubEndpoint: string;
  readonly fetch: typeof fetch;
}

/** Null if healthy, otherwise what is wrong and what to do. Never rejects. */
export async function checkWorker(options: WorkerProbeOptions): Promise<string | null> {
  const { proxyBaseUrl, keys, hubEndpoint } = options;
  const link = await signLink({ proxyBaseUrl, keys, url: hubEndpoint, expiresAt: EXPIRED_AT });
  try {
    const response = await options.fetch(link, { signal: AbortSignal.timeout(TIMEOUT_MS), redirect: "manual" });
    const { code } = await response.json() as { code?: unknown };
    if (code === "expired") return null;
    if (code === "unknown_key" || code === "bad_signature") {
      return `the Worker does not know this function's signing key (${code}): set the same STREAM_SIGNING_KEYS in both`;
    }
    return `CLOUDFLARE_WORKERS_URL is not the URL of the Worker (status ${response.status})`;
  } catch {
    return "the Worker does not answer: check CLOUDFLARE_WORKERS_URL";
  }
}
