/** Playlists and hosts: what players accept, with unchanged content. */
import { brotliCompressSync, deflateSync, gzipSync } from "node:zlib";
import type { Host } from "../../dev/testing/fetch_fixture.ts";
import { ranged } from "../../dev/testing/fetch_fixture.ts";
import { type MadeStream, makeStream } from "../../dev/testing/made_stream.ts";
import { hostOf, listOf, sourceOf, type StreamCase, type TestStream } from "./stream.ts";

type Bytes = Uint8Array<ArrayBuffer>;
type Made = { readonly made: MadeStream; readonly list: string; readonly host: Host };

interface Case {
  readonly name: string;
  readonly gate?: boolean;
  /** Changes how the stream is served. */
  readonly serve: (served: Made) => Host | Promise<Host>;
  readonly resolution?: string;
  /** What is archived, if not the stream itself. */
  readonly instead?: () => Promise<MadeStream>;
}

const text = (body: string | Bytes, headers: Record<string, string> = {}) =>
  new Response(body, { headers: { "content-type": "application/vnd.apple.mpegurl", ...headers } });

/** Another text of the media playlist. */
const withList = (change: (list: string) => string) => ({ list, host }: Made): Host => (path, request) =>
  path === "/v.m3u8" ? text(change(list)) : host(path, request);

/** Other bytes of segments. */
const withBytes =
  (change: (bytes: Bytes, index: number) => Bytes | Promise<Bytes>) =>
  ({ host, made }: Made): Host =>
  async (path, request) => {
    const index = /^\/v0\/(\d+)$/.exec(path);
    return index === null
      ? await host(path, request)
      : new Response(await change(made.segments[Number(index[1])]!, Number(index[1])));
  };

const KEY = Uint8Array.from({ length: 16 }, (_, i) => i + 1);

async function encrypt(bytes: Bytes, iv: Bytes, { padding = true } = {}): Promise<Bytes> {
  const key = await crypto.subtle.importKey("raw", KEY, "AES-CBC", false, ["encrypt"]);
  const sealed = new Uint8Array(await crypto.subtle.encrypt({ name: "AES-CBC", iv }, key, bytes));
  return padding ? sealed : sealed.slice(0, -16);
}

function ivOf(number: number): Bytes {
  const iv = new Uint8Array(16);
  new DataView(iv.buffer).setBigUint64(8, BigInt(number));
  return iv;
}

/** Encrypts segments; `tag` is put in front of the first one. */
const encrypted =
  (tag: string, options: { iv?: (i: number) => Bytes; padding?: boolean; sequence?: number } = {}) =>
  (served: Made): Host => {
    const host = withBytes((bytes, i) => encrypt(bytes, options.iv?.(i) ?? ivOf(i + (options.sequence ?? 0)), options))(
      served,
    );
    const list = served.list.replace("#EXTINF", `${tag}\n#EXTINF`);
    const sequence = options.sequence === undefined ? "" : `#EXT-X-MEDIA-SEQUENCE:${options.sequence}\n`;
    return (path, request) => {
      if (path === "/key") return new Response(KEY);
      return path === "/v.m3u8"
        ? text(list.replace("#EXT-X-TARGETDURATION", `${sequence}#EXT-X-TARGETDURATION`))
        : host(path, request);
    };
  };

const KEY_TAG = '#EXT-X-KEY:METHOD=AES-128,URI="/key"';
const FIXED_IV = "0x000102030405060708090a0b0c0d0e0f";

/** Null packets fill up to whole cipher blocks: 4 packets are 47 blocks. */
function multiplesOf16(bytes: Bytes): Bytes {
  const missing = (4 - (bytes.length / 188) % 4) % 4;
  const filled = new Uint8Array(bytes.length + missing * 188).fill(0xff);
  filled.set(bytes);
  for (let at = bytes.length; at < filled.length; at += 188) filled.set([0x47, 0x1f, 0xff, 0x10], at);
  return filled;
}

/** All segments in one resource. */
const inOneResource = (explicit: boolean) => ({ made, host }: Made): Host => {
  const whole = new Uint8Array(made.segments.reduce((sum, { length }) => sum + length, 0));
  const lines = ["#EXTM3U", "#EXT-X-VERSION:4", "#EXT-X-TARGETDURATION:10"];
  let at = 0;
  for (const [i, segment] of made.segments.entries()) {
    whole.set(segment, at);
    const offset = explicit || i === 0 ? `@${at}` : "";
    lines.push(`#EXTINF:${made.durations[i]},`, `#EXT-X-BYTERANGE:${segment.length}${offset}`, "/all.ts");
    at += segment.length;
  }
  return (path, request) => {
    if (path === "/v.m3u8") return text([...lines, "#EXT-X-ENDLIST"].join("\n"));
    return path === "/all.ts" ? ranged(request, whole) : host(path, request);
  };
};

/** A multivariant playlist of `variants`; `/v.m3u8` is the stream, others are missing unless served. */
const offering =
  (variants: readonly string[], more: Host = () => new Response(null, { status: 404 })) =>
  ({ list, host }: Made): Host =>
  (path, request) => {
    if (path === "/v.m3u8") return text(["#EXTM3U", ...variants].join("\n"));
    if (path === "/good.m3u8") return text(list);
    return path.startsWith("/v0/") ? host(path, request) : more(path, request);
  };

const compressed =
  (name: string, pack: (bytes: Uint8Array) => Uint8Array) => ({ list, host }: Made): Host => (path, request) =>
    path === "/v.m3u8"
      ? text(new Uint8Array(pack(new TextEncoder().encode(list))), { "content-encoding": name })
      : host(path, request);

const PNG = Uint8Array.fromHex(
  "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000049454e44ae426082",
);

const CASES: readonly Case[] = [
  { name: "white space and empty lines in front", serve: withList((list) => `\n  \r\n${list}`) },
  { name: "byte order mark and CRLF", serve: withList((list) => `\uFEFF${list.replaceAll("\n", "\r\n")}`) },
  {
    name: "durations without a leading zero",
    serve: withList((list) => list.replace(/#EXTINF:[\d.]+/g, "#EXTINF:.500")),
  },
  {
    name: "durations with 15 decimals",
    serve: withList((list) =>
      list.replace(/#EXTINF:([\d.]+)/g, (_, seconds) => `#EXTINF:${Number(seconds).toFixed(15)}`)
    ),
  },
  { name: "a title after the duration", serve: withList((list) => list.replaceAll(",\n", ",Episode 1, part “a”\n")) },
  { name: "no target duration", serve: withList((list) => list.replace(/#EXT-X-TARGETDURATION.*\n/, "")) },
  {
    name: "an empty target duration and media sequence",
    serve: withList((list) =>
      list.replace(/#EXT-X-TARGETDURATION.*/, "#EXT-X-TARGETDURATION:\n#EXT-X-MEDIA-SEQUENCE:")
    ),
  },
  {
    name: "a media sequence of 19 digits",
    serve: withList((list) =>
      list.replace("#EXT-X-TARGET", "#EXT-X-MEDIA-SEQUENCE:1234567890123456789\n#EXT-X-TARGET")
    ),
  },
  {
    name: "unknown and unreadable tags",
    serve: withList((list) => list.replaceAll("#EXTINF", "#EXT-X-UNKNOWN:a=b,,,\n#EXT-X-DATERANGE:ID=\n#EXTINF")),
  },
  {
    name: "EXT-X-DEFINE variables",
    serve: withList((list) =>
      list.replace("#EXT-X-TARGET", '#EXT-X-DEFINE:NAME="p",VALUE="/v0"\n#EXT-X-TARGET').replaceAll("\n/v0/", "\n{$p}/")
    ),
  },
  {
    name: "odd names",
    serve: ({ list, host }) => (path, request) =>
      path === "/v.m3u8"
        ? text(list.replaceAll(/\/v0\/(\d+)/g, "/第 [1]{2}|^'~$1.ts"))
        : host(`/v0/${/(\d+)\.ts$/.exec(path)?.[1]}`, request),
  },
  { name: "AES-128, the sequence number as IV", serve: encrypted(KEY_TAG, { sequence: 7 }), gate: true },
  {
    name: "AES-128, its own IV",
    serve: encrypted(`${KEY_TAG},IV=${FIXED_IV}`, { iv: () => Uint8Array.from({ length: 16 }, (_, i) => i) }),
  },
  {
    name: "AES-128, the key in a data: URL",
    serve: encrypted(
      `#EXT-X-KEY:METHOD=AES-128,URI="data:application/octet-stream;base64,${btoa(String.fromCharCode(...KEY))}"`,
    ),
  },
  {
    name: "AES-128 without padding",
    serve: (served) => {
      const made = { ...served.made, segments: served.made.segments.map(multiplesOf16) };
      return encrypted(KEY_TAG, { padding: false })({ ...served, made });
    },
    instead: async () => {
      const made = await plain();
      return { ...made, segments: made.segments.map(multiplesOf16) };
    },
  },
  {
    name: "AES-128 from the third segment on",
    serve: (served) => {
      const host = withBytes((bytes, i) => i < 2 ? Promise.resolve(bytes) : encrypt(bytes, ivOf(i)))(served);
      const list = served.list.replace(/(#EXTINF[^\n]*\n\/v0\/2\n)/, `${KEY_TAG}\n$1`);
      return (path, request) =>
        path === "/key" ? new Response(KEY) : path === "/v.m3u8" ? text(list) : host(path, request);
    },
  },
  { name: "byte ranges with offsets", serve: inOneResource(true) },
  { name: "byte ranges that continue", serve: inOneResource(false) },
  {
    name: "1 to 100 stray bytes after the last packet",
    serve: withBytes((bytes, i) => new Uint8Array([...bytes, ...new Uint8Array(1 + 24 * i)])),
  },
  {
    name: "an empty last segment",
    serve: ({ list, host }) => (path, request) =>
      path === "/v.m3u8"
        ? text(list.replace("#EXT-X-ENDLIST", "#EXTINF:0,\n/empty\n#EXT-X-ENDLIST"))
        : path === "/empty"
        ? new Response("")
        : host(path, request),
  },
  { name: "segments disguised as PNG", serve: withBytes((bytes) => new Uint8Array([...PNG, ...bytes])) },
  {
    name: "segments called .jpg, sent as text/html",
    serve: ({ list, host }) => async (path, request) => {
      if (path === "/v.m3u8") return text(list.replaceAll(/(\/v0\/\d+)/g, "$1.jpg"));
      const response = await host(path.replace(".jpg", ""), request);
      return new Response(response.body, { headers: { "content-type": "text/html" } });
    },
  },
  { name: "playlist always gzip", serve: compressed("gzip", gzipSync) },
  { name: "playlist always deflate", serve: compressed("deflate", deflateSync) },
  { name: "playlist always brotli", serve: compressed("br", brotliCompressSync) },
  {
    name: "416 to a range past the end",
    serve: ({ host }) => (path, request) => {
      const range = /^bytes=0-(\d+)$/.exec(request.headers.get("range") ?? "");
      return path === "/v.m3u8" && range !== null && Number(range[1]) > 500
        ? new Response(null, { status: 416 })
        : host(path, request);
    },
  },
  {
    name: "a redirect for everything",
    serve: ({ host }) => (path, request) =>
      path.startsWith("/r/") || path === "/key"
        ? host(path.slice(2), request)
        : new Response(null, { status: 302, headers: { location: `/r${path}` } }),
  },
  {
    name: "cookies that the segments need",
    serve: ({ list, host }) => (path, request) => {
      if (path === "/v.m3u8") return text(list, { "set-cookie": "session=abc; Path=/" });
      return request.headers.get("cookie")?.includes("session=abc")
        ? host(path, request)
        : new Response(null, { status: 403 });
    },
    gate: true,
  },
  {
    name: "the first variant is missing",
    serve: offering([
      "#EXT-X-STREAM-INF:BANDWIDTH=9000000,RESOLUTION=1920x1080",
      "/gone.m3u8",
      "#EXT-X-STREAM-INF:BANDWIDTH=500000,RESOLUTION=320x180",
      "/good.m3u8",
    ]),
    gate: true,
  },
  {
    name: "the first copy responds with 503",
    serve: offering(
      [
        "#EXT-X-STREAM-INF:BANDWIDTH=500000,RESOLUTION=320x180",
        "/copy.m3u8",
        "#EXT-X-STREAM-INF:BANDWIDTH=500000,RESOLUTION=320x180",
        "/good.m3u8",
      ],
      () => new Response(null, { status: 503 }),
    ),
  },
  {
    name: "1080p, offered as 1088 and 720",
    resolution: "1080p",
    serve: offering([
      "#EXT-X-STREAM-INF:BANDWIDTH=900000,RESOLUTION=1280x720",
      "/gone.m3u8",
      "#EXT-X-STREAM-INF:BANDWIDTH=500000,RESOLUTION=1920x1088",
      "/good.m3u8",
    ]),
  },
  {
    name: "720p, offered in portrait",
    resolution: "720p",
    serve: offering([
      "#EXT-X-STREAM-INF:BANDWIDTH=900000,RESOLUTION=360x640",
      "/gone.m3u8",
      "#EXT-X-STREAM-INF:BANDWIDTH=500000,RESOLUTION=720x1280",
      "/good.m3u8",
    ]),
  },
  {
    name: "HEVC and AVC of one height",
    resolution: "720p",
    serve: offering([
      '#EXT-X-STREAM-INF:BANDWIDTH=900000,RESOLUTION=1280x720,CODECS="hvc1.1.6.L93.B0,mp4a.40.2"',
      "/gone.m3u8",
      '#EXT-X-STREAM-INF:BANDWIDTH=500000,RESOLUTION=1280x720,CODECS="avc1.64001f,mp4a.40.2"',
      "/good.m3u8",
    ]),
  },
  {
    name: "AC-3 and AAC of one height",
    resolution: "720p",
    serve: offering([
      '#EXT-X-STREAM-INF:BANDWIDTH=900000,RESOLUTION=1280x720,CODECS="avc1.64001f,ac-3"',
      "/gone.m3u8",
      '#EXT-X-STREAM-INF:BANDWIDTH=500000,RESOLUTION=1280x720,CODECS="avc1.64001f,mp4a.40.2"',
      "/good.m3u8",
    ]),
    gate: true,
  },
];

const plain = () => makeStream({ seconds: 8 });

export function playlistStreams(): StreamCase[] {
  return CASES.map((one): StreamCase => {
    const name = `playlist: ${one.name}`;
    const make = async (): Promise<TestStream> => {
      const made = await plain();
      const list = listOf([made], "v");
      const host = await one.serve({ made, list, host: hostOf({ v: [made] }, { "/v.m3u8": list }) });
      const source = await one.instead?.() ?? made;
      return {
        name,
        host,
        expected: { outcome: "archived", parts: [sourceOf(source)] },
        ...(one.resolution === undefined ? {} : { resolution: one.resolution }),
      };
    };
    return { name, gate: one.gate === true, make };
  });
}
