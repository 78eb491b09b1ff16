/** A server with an HLS stream below /old/ whose URLs expire, and the same stream, or another, below /new/. */
import assert from "node:assert/strict";
import type { LinkEpisode } from "../../core/link.ts";
import {
  bytesOf,
  media,
  type MediaOptions,
  pattern,
  type ProxyFixture,
  send,
  startProxyFixture,
  text,
} from "./proxy_fixture.ts";

const EMBED = "https://embed.test/e/1";
export const episode: LinkEpisode = { malId: 55825, episode: 1, provider: "animasu", server: EMBED };
export const sign = { context: { episode }, scopeDirectories: 1 };
export const COUNT = 5;
export const segment = (variant: string, i: number) => pattern(1000 + 10 * i + Number(variant));

export interface Changes {
  /** Replaces the playlist of /new/720/. */
  readonly list?: string;
  readonly media?: MediaOptions;
}

export function list(more = ""): string {
  const lines = Array.from({ length: COUNT }, (_, i) => `#EXTINF:4.00${i},\nseg-${i}.ts?t=TOKEN\n`);
  return `#EXTM3U\n#EXT-X-TARGETDURATION:5\n${more}${lines.join("")}#EXT-X-ENDLIST\n`;
}

/** A multivariant playlist with two variants below /base/, whose segment URLs have the base as their token. */
export function serve(proxy: ProxyFixture, base: string, changes: Changes = {}): void {
  const master = ["720", "480"].map((variant) =>
    `#EXT-X-STREAM-INF:BANDWIDTH=${variant}000\n${variant}/index.m3u8?t=${base}\n`
  );
  proxy.route(`/${base}/master.m3u8`, text(`#EXTM3U\n${master.join("")}`));
  for (const variant of ["720", "480"]) {
    const own = (variant === "720" ? changes.list : undefined) ?? list();
    proxy.route(`/${base}/${variant}/index.m3u8`, text(own.replaceAll("TOKEN", base)));
    for (let i = 0; i < COUNT; i++) {
      proxy.route(`/${base}/${variant}/seg-${i}.ts`, media(segment(variant, i), changes.media));
    }
  }
}

export function respondWith(proxy: ProxyFixture, path: string): void {
  const body = { success: true, data: { animasu: [{ url: EMBED, url_resolved: proxy.url + path }] } };
  proxy.route("/functions/v1/", text(JSON.stringify(body), "application/json"));
}

export function expire(proxy: ProxyFixture, status: number): void {
  for (const seen of new Set(proxy.seen.map((one) => one.target.split("?")[0]!))) {
    if (seen.startsWith("/old/")) proxy.route(seen, (_request, response) => send(response, status, {}, "dead"));
  }
  for (const variant of ["720", "480"]) {
    for (let i = 0; i < COUNT; i++) {
      proxy.route(`/old/${variant}/seg-${i}.ts`, (_request, response) => send(response, status, {}, "dead"));
    }
  }
}

export function count(proxy: ProxyFixture, ending: string): number {
  return proxy.seen.filter((one) => one.target.split("?")[0]!.endsWith(ending)).length;
}

export async function links(playlistUrl: string): Promise<string[]> {
  const response = await fetch(playlistUrl);
  assert.equal(response.status, 200);
  return (await response.text()).split("\n").filter((line) => line.startsWith("http"));
}

/** Plays the first `played` segments of the first variant; returns the links of all. */
export async function play(proxy: ProxyFixture, played = 2): Promise<string[]> {
  const [variant] = await links(await proxy.link("/old/master.m3u8", sign));
  const segments = await links(variant!);
  assert.equal(segments.length, COUNT);
  for (let i = 0; i < played; i++) {
    assert.deepEqual(await bytesOf(await fetch(segments[i]!)), segment("720", i));
  }
  return segments;
}

export const start = () =>
  startProxyFixture({ vars: (originUrl) => ({ PUBLIC_API_URL: `${originUrl}/functions/v1` }) });
