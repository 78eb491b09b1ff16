/**
 * A video host on loopback: real media behind expiring tokens, slow first bytes, a bandwidth cap per connection, Range and ETag.
 * Example: `await using origin = await startOrigin({ port: 0, dir })`; `await origin.media[0].url()`. Needs ffmpeg.
 *
 * `/files/<name>?token=…` gives access to one file; `/p/<token>/<directory>/…` to a directory, so that the relative URLs of a
 * playlist inherit it. `/embed/<name>` is the player page, with a new token for every view.
 */
import { fileResponse } from "./file_response.ts";
import { makeMedia, MEDIA_SECONDS } from "./media.ts";
import { createTokens } from "./token.ts";

const TOKEN_SECONDS = 600;

/** Latency and bandwidth of this host. The defaults are a host half a continent away. */
export type Line = {
  /** Added once per new connection. */
  readonly connectMs: number;
  /** Added before the first byte of every response. */
  readonly latencyMs: number;
  /** Cap per connection; null = none. */
  readonly bytesPerSecond: number | null;
};

export const ORDINARY_LINE: Line = { connectMs: 100, latencyMs: 50, bytesPerSecond: 4_000_000 };

export type OriginMedium = {
  readonly name: "mp4" | "hls";
  readonly kind: "mp4" | "hls";
  readonly resolution: string;
  readonly durationSeconds: number;
  /** The player page; never expires. */
  readonly embedUrl: string;
  /** A direct URL that works for `seconds` (default 600; 0 or less has already expired). */
  readonly url: (seconds?: number) => Promise<string>;
  /** The file itself, for comparison; the directory for HLS. */
  readonly path: string;
};

export type Origin = AsyncDisposable & {
  readonly url: string;
  readonly media: readonly OriginMedium[];
  readonly stop: () => Promise<void>;
};

export async function startOrigin(
  options: { port: number; dir: string; line?: Line; now?: () => number },
): Promise<Origin> {
  await makeMedia(options.dir);
  const now = options.now ?? (() => Math.floor(Date.now() / 1000));
  const line = options.line ?? ORDINARY_LINE;
  // Stored with the media, so that a URL issued before a restart still works after it.
  const tokens = await createTokens(await Deno.readFile(`${options.dir}/token.key`));
  const seenPorts = new Set<number>();

  const server = Deno.serve(
    { port: options.port, hostname: "127.0.0.1", onListen: () => {} },
    async (request, info) => {
      await waitLikeTheLine(info.remoteAddr.port);
      return await respond(request);
    },
  );
  const url = `http://127.0.0.1:${server.addr.port}`;

  async function waitLikeTheLine(port: number): Promise<void> {
    const ms = line.latencyMs + (seenPorts.has(port) ? 0 : line.connectMs);
    seenPorts.add(port);
    if (ms > 0) await new Promise((done) => setTimeout(done, ms));
  }

  async function respond(request: Request): Promise<Response> {
    if (request.method !== "GET" && request.method !== "HEAD") return new Response(null, { status: 405 });
    const { pathname, searchParams } = new URL(request.url);
    const [first = "", ...rest] = pathname.slice(1).split("/");
    if (rest.some((part) => part === ".." || part === "" || part.includes("%"))) {
      return new Response(null, { status: 404 });
    }
    if (first === "health") return new Response("ok");
    if (first === "embed") return embedPage(rest[0] ?? "");
    if (first === "files") return await open(request, rest.join("/"), rest.join("/"), searchParams.get("token") ?? "");
    if (first === "p") return await open(request, rest[1] ?? "", rest.slice(1).join("/"), rest[0] ?? "");
    return new Response("not found", { status: 404 });
  }

  async function open(request: Request, scope: string, path: string, token: string): Promise<Response> {
    const state = await tokens.check(scope, token, now());
    if (state !== "ok") return new Response(`token ${state}`, { status: 403 });
    return await fileResponse(request, `${options.dir}/${path}`, line);
  }

  async function embedPage(name: string): Promise<Response> {
    const medium = media.find((m) => m.name === name);
    if (medium === undefined) return new Response("not found", { status: 404 });
    const source = JSON.stringify(await medium.url());
    const html = `<!doctype html><title>Player</title><div id="player"></div>\n<script>\n` +
      `  const player = window.createPlayer("player");\n  player.setup({ sources: [{ file: ${source} }] });\n</script>\n`;
    return new Response(html, { headers: { "content-type": "text/html; charset=utf-8" } });
  }

  const media: readonly OriginMedium[] = [{
    name: "mp4",
    kind: "mp4",
    resolution: "720p",
    durationSeconds: MEDIA_SECONDS,
    embedUrl: `${url}/embed/mp4`,
    path: `${options.dir}/episode.mp4`,
    url: async (seconds = TOKEN_SECONDS) =>
      `${url}/files/episode.mp4?token=${await tokens.issue("episode.mp4", now() + seconds)}`,
  }, {
    name: "hls",
    kind: "hls",
    resolution: "480p",
    durationSeconds: MEDIA_SECONDS,
    embedUrl: `${url}/embed/hls`,
    path: `${options.dir}/hls`,
    url: async (seconds = TOKEN_SECONDS) => `${url}/p/${await tokens.issue("hls", now() + seconds)}/hls/master.m3u8`,
  }];

  const stop = () => server.shutdown();
  return { url, media, stop, [Symbol.asyncDispose]: stop };
}
