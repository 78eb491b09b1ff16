/**
 * One multivariant playlist for all resolutions of an episode: the main file's own, and the video variants of the others with the main
 * file's audio and subtitles. Names stay as they are; rewriteArchivePlaylist has accepted each text before.
 * Example: mergePlaylists(of1080p, [of720p, of360p]) → of1080p, followed by the variants of the other two.
 */
import { AttributeCursor } from "./syntax.ts";

const STREAM = "#EXT-X-STREAM-INF:";
const I_FRAMES = "#EXT-X-I-FRAME-STREAM-INF:";
const INDEPENDENT = "#EXT-X-INDEPENDENT-SEGMENTS";
/** Groups of the file that a variant comes from. */
const GROUPS: ReadonlySet<string> = new Set(["AUDIO", "VIDEO", "SUBTITLES", "CLOSED-CAPTIONS", "CODECS"]);
/** RFC 6381 prefixes of audio. */
const AUDIO_CODEC = /^(?:mp4a|ac-3|ec-3|ac-4|opus|flac|alac|dts|mp3)/i;

interface Variant {
  readonly attributes: ReadonlyMap<string, string>;
  readonly uri: string;
}

export function mergePlaylists(main: string, others: readonly string[]): string {
  const lines = linesOf(main);
  // One audio group per codec: a variant is listed once for each, so that a player skips the codecs it does not have.
  const groups = distinct(variantsOf(lines), ({ attributes }) => attributes.get("AUDIO") ?? "");
  const added = others.flatMap((text) => {
    const theirs = linesOf(text);
    const videos = distinct(variantsOf(theirs), ({ uri }) => uri);
    const iFrames = theirs.filter((line) => line.startsWith(I_FRAMES));
    return [
      ...videos.flatMap((video) =>
        groups.flatMap((group) => [streamInf(video.attributes, group.attributes), video.uri])
      ),
      ...iFrames,
    ];
  });
  const allIndependent = others.every((text) => linesOf(text).includes(INDEPENDENT));
  const own = allIndependent ? lines : lines.filter((line) => line !== INDEPENDENT);
  return [...own, ...added, ""].join("\n");
}

function streamInf(video: ReadonlyMap<string, string>, main: ReadonlyMap<string, string>): string {
  const kept = [...video].filter(([name]) => !GROUPS.has(name));
  const codecs = [
    ...codecsOf(video).filter((codec) => !AUDIO_CODEC.test(codec)),
    ...codecsOf(main).filter((codec) => AUDIO_CODEC.test(codec)),
  ];
  const theirs = ["AUDIO", "SUBTITLES"].flatMap((name) => main.has(name) ? [[name, main.get(name)!]] : []);
  const all = [...kept, ...(codecs.length === 0 ? [] : [["CODECS", `"${codecs.join(",")}"`]]), ...theirs];
  return STREAM + all.map(([name, value]) => `${name}=${value}`).join(",");
}

function codecsOf(attributes: ReadonlyMap<string, string>): string[] {
  return (attributes.get("CODECS") ?? "").replaceAll('"', "").split(",").map((codec) => codec.trim()).filter(Boolean);
}

function variantsOf(lines: readonly string[]): Variant[] {
  return lines.flatMap((line, index) => {
    const uri = lines[index + 1];
    if (!line.startsWith(STREAM) || uri === undefined || uri.startsWith("#")) return [];
    return [{ attributes: attributesOf(line.slice(STREAM.length)), uri }];
  });
}

/** Values as they are written, with their quotes. */
function attributesOf(text: string): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  const cursor = new AttributeCursor(text, 0);
  while (cursor.next()) {
    const value = text.slice(cursor.start, cursor.end);
    found.set(text.slice(cursor.nameStart, cursor.nameEnd).trim(), cursor.quoted ? `"${value}"` : value.trim());
  }
  return found;
}

function linesOf(text: string): string[] {
  return text.split(/[\r\n]+/).map((line) => line.trim()).filter((line) => line !== "");
}

/** The first of each key. */
function distinct<T>(list: readonly T[], keyOf: (one: T) => string): T[] {
  const seen = new Set<string>();
  return list.filter((one) => {
    const key = keyOf(one);
    return !seen.has(key) && seen.add(key);
  });
}
