// A synthetic site on a port of this machine, for programs that fetch by themselves. Example: await using site = serveSite(…).
import type { Site } from "./sites.ts";

export interface ServedSite extends AsyncDisposable {
  readonly url: string;
  /** `GET /path` of every request. */
  readonly requests: readonly string[];
}

export interface ServeOptions {
  /** Latency before each response. */
  readonly latencyMs?: number;
}

export function serveSite(site: Site, { latencyMs = 0 }: ServeOptions = {}): ServedSite {
  const requests: string[] = [];
  const stop = new AbortController();
  const { signal } = stop;
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, signal, onListen: () => {} }, async (request) => {
    const url = new URL(request.url);
    requests.push(`${request.method} ${url.pathname}${url.search}`);
    if (latencyMs > 0) await new Promise((resolve) => setTimeout(resolve, latencyMs));
    try {
      return await site(request, url);
    } catch {
      return new Response("the site failed", { status: 500 });
    }
  });
  return {
    url: `http://127.0.0.1:${server.addr.port}`,
    requests,
    // Immediately: a page that hangs on purpose must not delay the end of its test.
    async [Symbol.asyncDispose]() {
      stop.abort();
      await server.finished;
    },
  };
}
