/** A stream of the suite: how a host serves it, and what has to become of it. */
import type { Host } from "../../dev/testing/fetch_fixture.ts";
import type { MadeStream } from "../../dev/testing/made_stream.ts";
import type { DecodeInput } from "./decode.ts";

export interface TestStream {
  /** "subject: circumstance" */
  readonly name: string;
  readonly host: Host;
  /** @default "/v.m3u8" */
  readonly entry?: string;
  /** Label of the server. */
  readonly resolution?: string;
  readonly expected: Archived | Refused;
  /** Codecs that the test browser lacks: judged by ffmpeg alone. */
  readonly browser?: false;
}

/** Encoded when it is run. */
export interface StreamCase {
  readonly name: string;
  /** Part of the gate, not only of the whole suite. */
  readonly gate: boolean;
  readonly make: () => Promise<TestStream>;
}

export interface Archived {
  readonly outcome: "archived";
  /** What has to be in the archive, in order: each is decoded by itself. */
  readonly parts: readonly DecodeInput[];
  /** Of a separate rendition; absent: the audio of `parts`. */
  readonly audioParts?: readonly DecodeInput[];
  /** Equal frames; a tone if the audio has to be re-encoded; none. @default "same" */
  readonly audio?: "same" | "none" | readonly number[];
  /** Audio tracks by language, such as ["jpn", "eng"]. */
  readonly languages?: readonly string[] | undefined;
  /** Start and text of each cue of the first subtitle track. */
  readonly cues?: readonly (readonly [seconds: number, text: string])[] | undefined;
  /** Sample entry of the video. */
  readonly tag?: string | undefined;
  /** For the table: what is done to it. */
  readonly note?: string;
}

export interface Refused {
  readonly outcome: "refused";
  readonly code: string;
  readonly message: RegExp;
}

/** What a decoder makes of made segments, concatenated. */
export function sourceOf(stream: MadeStream): DecodeInput {
  const bytes = [...(stream.init === null ? [] : [stream.init]), ...stream.segments];
  const joined = new Uint8Array(bytes.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const piece of bytes) {
    joined.set(piece, at);
    at += piece.length;
  }
  return { bytes: joined, format: stream.init === null ? "mpegts" : "mov" };
}

export interface ListOptions {
  readonly head?: readonly string[];
  /** Text after #EXTINF: for each segment. */
  readonly announce?: (seconds: number, index: number) => string;
  /** Replaces the lines of a segment. */
  readonly lines?: (path: string, announced: string, index: number) => readonly string[];
  /** @default a discontinuity between streams */
  readonly between?: readonly string[];
  readonly end?: readonly string[];
}

/** Streams one after the other. Their files are `/{name}{stream}/{segment}`. */
export function listOf(streams: readonly MadeStream[], name: string, options: ListOptions = {}): string {
  const lines = [...(options.head ?? ["#EXTM3U", "#EXT-X-VERSION:7", "#EXT-X-TARGETDURATION:10"])];
  let index = 0;
  for (const [s, stream] of streams.entries()) {
    if (s > 0) lines.push(...(options.between ?? ["#EXT-X-DISCONTINUITY"]));
    if (stream.init !== null) lines.push(`#EXT-X-MAP:URI="/${name}${s}/init.mp4"`);
    for (const i of stream.segments.keys()) {
      const announced = options.announce?.(stream.durations[i]!, index) ?? `${stream.durations[i]},`;
      const path = `/${name}${s}/${i}`;
      lines.push(...(options.lines?.(path, announced, index) ?? [`#EXTINF:${announced}`, path]));
      index++;
    }
  }
  return [...lines, ...(options.end ?? ["#EXT-X-ENDLIST", ""])].join("\n");
}

/** Serves texts by path, and made streams by `/{name}{stream}/{segment}`. `change` may alter a segment's bytes. */
export function hostOf(
  renditions: Readonly<Record<string, readonly MadeStream[]>>,
  texts: Readonly<Record<string, string>>,
  change: (path: string, bytes: Uint8Array<ArrayBuffer>) => Uint8Array<ArrayBuffer> | Response = (_, bytes) => bytes,
): Host {
  return (path) => {
    if (path in texts) {
      return new Response(texts[path]!, { headers: { "content-type": "application/vnd.apple.mpegurl" } });
    }
    const [, name, stream, file] = /^\/([a-z]+)(\d+)\/(.+)$/.exec(path) ?? [];
    const made = renditions[name ?? ""]?.[Number(stream)];
    const bytes = file === "init.mp4" ? made?.init : made?.segments[Number(file)];
    if (!bytes) return new Response(null, { status: 404 });
    const changed = change(path, bytes);
    return changed instanceof Response ? changed : new Response(changed);
  };
}
