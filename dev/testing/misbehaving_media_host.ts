// A synthetic media host with correct and broken behaviour, one path for each. Example: MEDIA_FILES.cut → "/cut.mp4", whose body ends
// half-way; `misbehavingMediaHost(clip)` serves all of them. The caller supplies the bytes, so tests can run without ffmpeg.
import { ranged } from "./fetch_fixture.ts";

type Bytes = Uint8Array<ArrayBuffer>;

export interface MediaClip {
  readonly mp4: Bytes;
  readonly ts: readonly Bytes[];
  readonly init: Bytes;
  readonly m4s: readonly Bytes[];
  readonly videoTs: readonly Bytes[];
  readonly audioTs: readonly Bytes[];
}

export const MEDIA_FILES = {
  range: "/range.mp4",
  noHead: "/no-head.mp4",
  noLength: "/no-length.mp4",
  drip: "/drip.mp4",
  cut: "/cut.mp4",
  html: "/html.mp4",
  toPrivate: "/to-private.mp4",
  loop: "/loop.mp4",
} as const;

export const MEDIA_PLAYLISTS = {
  key: "/key/v.m3u8",
  map: "/map/v.m3u8",
  media: "/media/master.m3u8",
  byteRange: "/byterange/v.m3u8",
  query: "/query/v.m3u8?token=t1",
  percent: "/100%25/v.m3u8",
  noEnd: "/no-end/v.m3u8",
} as const;

export const PLAYLIST_TOKEN = "token=t1";
const SEGMENT_SECONDS = 2;
const FIRST_SEQUENCE = 7;

/** All paths; any other path is 404. */
export async function misbehavingMediaHost(clip: MediaClip): Promise<(path: string, request: Request) => Response> {
  const key = new Uint8Array(16).fill(7);
  const encrypted = await Promise.all(
    clip.ts.map((bytes, index) => encrypt(bytes, { key, sequence: FIRST_SEQUENCE + index })),
  );
  const whole = join(clip.ts);
  const video = { "content-type": "video/mp4" };
  const files: Readonly<Record<string, (request: Request) => Response>> = {
    [MEDIA_FILES.range]: (request) => ranged(request, clip.mp4, video),
    [MEDIA_FILES.noHead]: (request) =>
      request.method === "HEAD" ? new Response(null, { status: 405 }) : ranged(request, clip.mp4, video),
    [MEDIA_FILES.noLength]: () => new Response(inPieces(clip.mp4, { pieces: 4, pauseMs: 0 }), { headers: video }),
    [MEDIA_FILES.drip]: () => new Response(inPieces(clip.mp4, { pieces: 40, pauseMs: 10 }), { headers: video }),
    [MEDIA_FILES.cut]: () => {
      const headers = { ...video, "content-length": `${clip.mp4.length}` };
      return new Response(inPieces(clip.mp4.slice(0, clip.mp4.length / 2), { pieces: 2, pauseMs: 0, ends: "broken" }), {
        headers,
      });
    },
    [MEDIA_FILES.html]: () =>
      new Response("<!doctype html><h1>Sign in to watch</h1>", { headers: { "content-type": "text/html" } }),
    [MEDIA_FILES.toPrivate]: () =>
      new Response(null, { status: 302, headers: { location: "http://10.0.0.1/latest/meta-data/" } }),
    [MEDIA_FILES.loop]: () => new Response(null, { status: 302, headers: { location: MEDIA_FILES.loop } }),
    "/key/key.bin": () => new Response(key),
    "/map/init.mp4": () => new Response(clip.init),
    "/byterange/all.ts": (request) => ranged(request, whole),
  };
  const playlists: Readonly<Record<string, string>> = {
    "/key/v.m3u8": playlist(names("s", "ts", clip.ts), {
      head: [`#EXT-X-MEDIA-SEQUENCE:${FIRST_SEQUENCE}`, '#EXT-X-KEY:METHOD=AES-128,URI="key.bin"'],
    }),
    "/map/v.m3u8": playlist(names("m", "m4s", clip.m4s), { head: ['#EXT-X-MAP:URI="init.mp4"'] }),
    "/media/master.m3u8": [
      "#EXTM3U",
      '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="Japanese",LANGUAGE="ja",DEFAULT=YES,URI="audio.m3u8"',
      '#EXT-X-STREAM-INF:BANDWIDTH=800000,RESOLUTION=320x240,CODECS="avc1.42c01f,mp4a.40.2",AUDIO="a"',
      "video.m3u8",
      "",
    ].join("\n"),
    "/media/video.m3u8": playlist(names("video", "ts", clip.videoTs)),
    "/media/audio.m3u8": playlist(names("audio", "ts", clip.audioTs)),
    "/byterange/v.m3u8": playlist(clip.ts.map(() => "all.ts"), { ranges: clip.ts.map(({ length }) => length) }),
    "/query/v.m3u8": playlist(names("s", "ts", clip.ts).map((name) => `${name}?${PLAYLIST_TOKEN}`)),
    "/100%25/v.m3u8": playlist(names("s", "ts", clip.ts)),
    "/no-end/v.m3u8": playlist(names("s", "ts", clip.ts), { ends: false }),
  };
  const segments: Readonly<Record<string, readonly Bytes[]>> = {
    "/key/s": encrypted,
    "/map/m": clip.m4s,
    "/media/video": clip.videoTs,
    "/media/audio": clip.audioTs,
    "/query/s": clip.ts,
    "/100%25/s": clip.ts,
    "/no-end/s": clip.ts,
  };

  return (path, request) => {
    // A client that decodes the path or drops the query is refused.
    if (path.startsWith("/query/") && new URL(request.url).search !== `?${PLAYLIST_TOKEN}`) {
      return new Response(null, { status: 403 });
    }
    const list = playlists[path];
    if (list !== undefined) return new Response(list, { headers: { "content-type": "application/vnd.apple.mpegurl" } });
    const [, stem = "", index = ""] = /^(.*?)(\d+)\.(?:ts|m4s)$/.exec(path) ?? [];
    const segment = segments[stem]?.[Number(index)];
    if (segment !== undefined) return new Response(segment);
    return files[path]?.(request) ?? new Response("not found", { status: 404 });
  };
}

function names(stem: string, ending: string, of: readonly unknown[]): readonly string[] {
  return of.map((_, index) => `${stem}${index}.${ending}`);
}

interface PlaylistOptions {
  readonly head?: readonly string[];
  /** Lengths in bytes of segments that follow each other in one file. */
  readonly ranges?: readonly number[];
  readonly ends?: boolean;
}

function playlist(segments: readonly string[], { head = [], ranges, ends = true }: PlaylistOptions = {}): string {
  const lines = ["#EXTM3U", "#EXT-X-VERSION:7", `#EXT-X-TARGETDURATION:${SEGMENT_SECONDS}`, ...head];
  let at = 0;
  for (const [index, segment] of segments.entries()) {
    lines.push(`#EXTINF:${SEGMENT_SECONDS},`);
    if (ranges !== undefined) lines.push(`#EXT-X-BYTERANGE:${ranges[index]}@${at}`);
    at += ranges?.[index] ?? 0;
    lines.push(segment);
  }
  return [...lines, ...(ends ? ["#EXT-X-ENDLIST"] : []), ""].join("\n");
}

function inPieces(
  bytes: Bytes,
  { pieces, pauseMs, ends = "whole" }: { pieces: number; pauseMs: number; ends?: "whole" | "broken" },
): ReadableStream<Bytes> {
  const size = Math.ceil(bytes.length / pieces);
  let at = 0;
  return new ReadableStream({
    async pull(controller) {
      if (pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs));
      if (at < bytes.length) controller.enqueue(bytes.slice(at, at += size));
      else if (ends === "whole") controller.close();
      else controller.error(new Error("cut"));
    },
  });
}

async function encrypt(bytes: Bytes, { key, sequence }: { key: Bytes; sequence: number }): Promise<Bytes> {
  const iv = new Uint8Array(16);
  iv[15] = sequence; // RFC 8216, 5.2: without IV it is the segment's sequence number
  const imported = await crypto.subtle.importKey("raw", key, "AES-CBC", false, ["encrypt"]);
  return new Uint8Array(await crypto.subtle.encrypt({ name: "AES-CBC", iv }, imported, bytes));
}

function join(parts: readonly Bytes[]): Bytes {
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
