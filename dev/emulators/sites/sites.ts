// Web sites as functions, reached through one fetch; hosts end in .test and do not exist.
// Example: const sites = createSites({ "site.test": () => new Response("hi") }); await sites.fetch("https://site.test/").

export type Site = (request: Request, url: URL) => Response | Promise<Response>;

export interface Sites {
  readonly fetch: (input: string, init?: RequestInit) => Promise<Response>;
  /** Every request so far, as `GET https://site.test/path`. */
  readonly requests: readonly string[];
}

export function createSites(sites: Readonly<Record<string, Site>>): Sites {
  const requests: string[] = [];
  return {
    requests,
    async fetch(input, init) {
      const request = new Request(input, init);
      const url = new URL(input);
      requests.push(`${request.method} ${input}`);
      const site = sites[url.host];
      if (site === undefined) throw new TypeError(`dns error: ${url.host} is not known`);
      request.signal.throwIfAborted();
      return await Promise.race([site(request, url), rejectOnAbort(request.signal)]);
    },
  };
}

/** A site whose paths are looked up in a table; all others are 404. */
export function pages(table: Readonly<Record<string, string | Site>>): Site {
  return (request, url) => {
    const page = table[url.pathname + url.search] ?? table[url.pathname];
    if (page === undefined) return new Response("not found", { status: 404 });
    return typeof page === "string" ? htmlResponse(page) : page(request, url);
  };
}

export function htmlResponse(html: string, init?: ResponseInit): Response {
  return new Response(html, { headers: { "content-type": "text/html; charset=utf-8" }, ...init });
}

/** Never responds; the request ends when its signal aborts. */
export function hangs(request: Request): Promise<Response> {
  return rejectOnAbort(request.signal);
}

/** Returns the responses in turn, then the last one repeatedly. */
export function inTurn(...responses: readonly (() => Response)[]): Site {
  let next = 0;
  return () => responses[Math.min(next++, responses.length - 1)]!();
}

/** `total` bytes of HTML, made while they are read; `produced` counts them. */
export function endlessPage(total: number) {
  const chunk = new TextEncoder().encode("<p>spam</p>".repeat(6_000));
  let produced = 0;
  const site: Site = () => {
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        if (produced >= total) return controller.close();
        produced += chunk.byteLength;
        controller.enqueue(chunk);
      },
    }, { highWaterMark: 0 });
    return new Response(body, { headers: { "content-type": "text/html" } });
  };
  return { site, produced: () => produced };
}

/** An endless page, as fast as it is read. */
export function endless(): Site {
  return endlessPage(Infinity).site;
}

export const CHALLENGE_PAGE = "<!doctype html><title>Just a moment...</title><div id='cf-challenge'></div>";

function rejectOnAbort(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) return reject(signal.reason);
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}
