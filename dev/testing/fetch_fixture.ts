/**
 * A hostile or broken host written by a test, and the runner's downloads from it, without queue and storage.
 * Example: `await using fixture = await startFetchFixture((path) => …)`; `await fixture.fetch("/a.m3u8")`.
 */
import { createDiskBudget } from "../../runner/work_dir/disk_budget.ts";
import { fetchSource } from "../../runner/job/fetch_source.ts";
import { Progress } from "../../runner/job/progress.ts";
import type { QualityPolicy } from "../../runner/download/quality_policy.ts";
import type { Subtitle } from "../../sources/source_list.ts";
import type { FetchedSource } from "../../runner/job/source_tools.ts";
import { openJobDir } from "../../runner/work_dir/work_dir.ts";
import { type ProxySession, startForwardProxy } from "../../runner/network/forward_proxy.ts";
import { createGuardedFetch } from "../../runner/network/guarded_fetch.ts";

export type HostResponse = Response | Promise<Response>;
export type Host = (path: string, request: Request) => HostResponse;

export type FetchOptions = {
  readonly resolution?: string;
  /** Only a variant of exactly `resolution`. */
  readonly exact?: boolean;
  readonly qualities?: QualityPolicy;
  readonly subtitles?: readonly Subtitle[];
  readonly kind?: string;
  readonly embedUrl?: string;
  /** Other origins on loopback that may be fetched from. */
  readonly origins?: readonly string[];
  readonly headers?: Readonly<Record<string, string>>;
  readonly maxBytes?: number;
  readonly freeBytes?: number;
  readonly hlsConnections?: number;
  readonly signal?: AbortSignal;
  readonly megaApiUrl?: string;
  readonly form?: "auto" | "plain";
  readonly segmentSeconds?: number;
  /** Keeps the job's directory under this id between two calls. */
  readonly id?: string;
  readonly onSession?: (session: ProxySession) => void;
  readonly onProgress?: (done: number) => void;
};

export type FetchFixture = AsyncDisposable & {
  readonly url: string;
  readonly dir: string;
  /** Requested paths, in order. */
  readonly asked: string[];
  readonly resumed: { bytes: number; from: string }[];
  readonly fetch: (path: string, options?: FetchOptions) => Promise<FetchedSource>;
};

export async function startFetchFixture(host: Host): Promise<FetchFixture> {
  const dir = await Deno.makeTempDir({ prefix: "keepstream-fetch-" });
  const asked: string[] = [];
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, async (request) => {
    const { pathname } = new URL(request.url);
    asked.push(pathname);
    return await host(pathname, request);
  });
  const url = `http://127.0.0.1:${server.addr.port}`;
  const proxy = startForwardProxy();
  const resumed: { bytes: number; from: string }[] = [];

  async function fetchOne(path: string, options: FetchOptions = {}): Promise<FetchedSource> {
    const policy = { allowedOrigins: [url, ...options.origins ?? []] };
    const session = proxy.openSession({ policy, maxBytes: options.maxBytes ?? 1e9 });
    options.onSession?.(session);
    const jobDir = await openJobDir(dir, options.id ?? crypto.randomUUID());
    const free = options.freeBytes;
    const disk = createDiskBudget(dir, free === undefined ? {} : { freeBytes: () => Promise.resolve(free) });
    const reservation = await disk.reserve(0);
    const progress = new Progress(() => performance.now());
    const set = progress.set.bind(progress);
    progress.set = (done, total) => (options.onProgress?.(done), set(done, total));
    try {
      const videoUrl = path.startsWith("http") ? path : `${url}${path}`;
      return await fetchSource({
        candidate: {
          id: null,
          embedUrl: options.embedUrl ?? null,
          videoUrl,
          kind: options.kind ?? "mp4",
          headers: options.headers ?? {},
          exact: options.exact ?? false,
          subtitles: [...options.subtitles ?? []],
          chapters: [],
        },
        resolution: options.resolution ?? null,
        qualities: () => Promise.resolve(options.qualities ?? "label"),
        source: "test",
      }, {
        dir: jobDir,
        session,
        fetch: createGuardedFetch(session),
        openAside: () => {
          const aside = proxy.openSession({ policy, maxBytes: 1e8 });
          return { fetch: createGuardedFetch(aside), close: aside.close };
        },
        policy,
        signal: options.signal ?? new AbortController().signal,
        progress,
        reservation,
        maxBytes: options.maxBytes ?? 1e9,
        hlsConnections: options.hlsConnections ?? 16,
        mp4Connections: 8,
        megaApiUrl: options.megaApiUrl,
        fileKey: "archive",
        archive: { form: options.form ?? "auto", segmentSeconds: options.segmentSeconds ?? 6 },
        onResumed: (bytes, from) => resumed.push({ bytes, from }),
        onPhase: () => {},
      });
    } finally {
      session.close();
      reservation[Symbol.dispose]();
      await jobDir[Symbol.asyncDispose]();
    }
  }

  return {
    url,
    dir,
    asked,
    resumed,
    fetch: fetchOne,
    [Symbol.asyncDispose]: async () => {
      await proxy[Symbol.asyncDispose]();
      await server.shutdown();
      await Deno.remove(dir, { recursive: true });
    },
  };
}

/** Serves a byte range of `bytes`. */
export function ranged(
  request: Request,
  bytes: Uint8Array<ArrayBuffer>,
  headers: Record<string, string> = {},
): Response {
  const match = /^bytes=(\d+)-(\d*)$/.exec(request.headers.get("range") ?? "");
  if (match === null) return new Response(request.method === "HEAD" ? null : bytes, { headers });
  const start = Number(match[1]);
  const end = match[2] === "" ? bytes.length - 1 : Math.min(Number(match[2]), bytes.length - 1);
  if (start >= bytes.length) {
    return new Response(null, { status: 416, headers: { "content-range": `bytes */${bytes.length}` } });
  }
  return new Response(bytes.slice(start, end + 1), {
    status: 206,
    headers: { ...headers, "content-range": `bytes ${start}-${end}/${bytes.length}`, "accept-ranges": "bytes" },
  });
}

/** The same response at about 200 kB/s. */
export async function slowly(response: Response): Promise<Response> {
  const bytes = await response.bytes();
  const headers = new Headers(response.headers);
  headers.set("content-length", String(bytes.length));
  const body = new Response(bytes).body!.pipeThrough(
    new TransformStream({
      async transform(piece: Uint8Array, controller) {
        for (let at = 0; at < piece.length; at += 20_000) {
          controller.enqueue(piece.slice(at, at + 20_000));
          await new Promise((done) => setTimeout(done, 100));
        }
      },
    }),
  );
  return new Response(body, { status: response.status, headers });
}

/** A listener on loopback that a download must never reach; counts connections. */
export function startCanary() {
  let hits = 0;
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, () => {
    hits++;
    return new Response("secret of the private network");
  });
  return {
    url: `http://127.0.0.1:${server.addr.port}`,
    hits: () => hits,
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}
