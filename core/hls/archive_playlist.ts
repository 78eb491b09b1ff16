/**
 * Rewrites the texts that are stored beside an archive. Storage is not trusted: a text may name nothing but files of its own archive,
 * each by its plain name. Anything else is refused, because the proxy reads what it signs with the operator's storage credentials.
 * Example: `#EXT-X-MAP:URI="9f….mp4",BYTERANGE="734@49891"` → the same line with a signed link as its URI.
 */
import { err, ok, type Result } from "../result.ts";
import { malformed, moreThan, type PlaylistError } from "./errors.ts";
import { looksLikePlaylist } from "./playlist.ts";
import { AttributeCursor, MAX_ATTRIBUTES } from "./syntax.ts";

/** A day of four-second segments, with three lines each, is 65,000. */
const MAX_LINES = 100_000;
const MAX_OUTPUT_LENGTH = 12 * 1024 * 1024;
/** What ends a line for some player. */
const LINE_END = /\r\n|[\n\r\u2028\u2029]/;
const NAME = /^([0-9a-f]{32})((?:\.[a-z0-9]{1,16}){1,3})$/;
const TAGS_WITH_FILE: ReadonlySet<string> = new Set(["#EXT-X-MAP", "#EXT-X-MEDIA", "#EXT-X-I-FRAME-STREAM-INF"]);
/** Attributes of which a player requests the value, in any tag. */
const REQUESTED = /URI|ASSET/i;
const TIMING = /^[\d:.]{1,20} --> [\d:.]{1,20}$/;
const TILE = /^([^#]*)(#xywh=\d{1,5}(?:,\d{1,5}){3})?$/;

export interface ArchiveText {
  /** What follows the file key in the text's own name, such as `.v.m3u8`. */
  readonly ending: string;
  /** The archives whose files it may name. */
  readonly keys: readonly string[];
  /** The link for a file of the same directory. */
  readonly link: (name: string) => string;
}

/** The endings that a playlist may name: a multivariant one media playlists, and these the MP4 or their subtitles. */
function membersOf(ending: string): RegExp {
  if (ending === ".m3u8") return /^\.(v|i|a\d{1,2}|s\d{1,2})\.m3u8$/;
  if (ending === ".sprite.vtt") return /^\.sprite\.jpg$/;
  return /^\.s\d/.test(ending) ? /^\.s\d{1,2}\.vtt$/ : /^\.mp4$/;
}

/** Comments and the titles of segments are left out. */
export function rewriteArchivePlaylist(text: string, options: ArchiveText): Result<string, PlaylistError> {
  if (!looksLikePlaylist(text)) return err({ code: "not_a_playlist", reason: "does not start with #EXTM3U" });
  const linkTo = createLinker(options);
  return rewriteLines(text, (line) => {
    if (!line.startsWith("#")) return linkTo(line);
    return line.startsWith("#EXT") ? rewriteTag(line, linkTo) : ok(null);
  });
}

/** The index of a sprite sheet: its lines `{key}.sprite.jpg#xywh=…` become links. */
export function rewriteSpriteIndex(text: string, options: ArchiveText): Result<string, PlaylistError> {
  if (!/^\uFEFF?WEBVTT\s/.test(text)) return err({ code: "not_a_playlist", reason: "does not start with WEBVTT" });
  const linkTo = createLinker(options);
  let isHeader = true;
  return rewriteLines(text, (line) => {
    if (isHeader || TIMING.test(line)) {
      const kept = isHeader ? "WEBVTT\n" : line;
      isHeader = false;
      return ok(kept);
    }
    const [, name = "", area = ""] = TILE.exec(line) ?? [];
    const link = linkTo(name);
    return link.ok ? ok(`${link.value}${area}\n`) : link;
  });
}

type Linker = (name: string) => Result<string, PlaylistError>;

/** Refuses other names. Nearly all lines of a playlist name the same file. */
function createLinker({ ending, keys, link }: ArchiveText): Linker {
  const members = membersOf(ending);
  let last: { readonly name: string; readonly link: Result<string, PlaylistError> } | null = null;
  return (name) => {
    if (last?.name === name) return last.link;
    const [, key = "", its = ""] = NAME.exec(name) ?? [];
    if (!keys.includes(key) || !members.test(its)) {
      return err(malformed("names a file that is not part of the archive"));
    }
    last = { name, link: ok(link(name)) };
    return last.link;
  };
}

/** `rewrite` returns null for a line that is left out. */
function rewriteLines(
  text: string,
  rewrite: (line: string) => Result<string | null, PlaylistError>,
): Result<string, PlaylistError> {
  const lines = text.replace(/^\uFEFF/, "").split(LINE_END, MAX_LINES + 1);
  if (lines.length > MAX_LINES) return err(moreThan(MAX_LINES, "lines"));
  let output = "";
  for (const [index, whole] of lines.entries()) {
    const line = whole.trim();
    if (line === "") continue;
    const rewritten = rewrite(line);
    if (!rewritten.ok) return err({ ...rewritten.error, line: index + 1 });
    if (rewritten.value !== null) output += `${rewritten.value}\n`;
    if (output.length > MAX_OUTPUT_LENGTH) return err({ code: "too_large", reason: "the rewritten text is too large" });
  }
  return ok(output);
}

function rewriteTag(line: string, linkTo: Linker): Result<string, PlaylistError> {
  const colon = line.indexOf(":");
  if (colon === -1) return ok(line);
  const name = line.slice(0, colon);
  if (name === "#EXTINF") {
    const duration = /^\d{1,9}(?:\.\d{1,20})?(?=,|$)/.exec(line.slice(colon + 1))?.[0];
    return duration === undefined ? err(malformed("an #EXTINF without a duration")) : ok(`#EXTINF:${duration},`);
  }
  // Its variables could become part of a URL.
  if (name === "#EXT-X-DEFINE") return err(malformed("defines variables"));
  const attributes = new AttributeCursor(line, colon + 1);
  let rewritten = "";
  let copied = 0;
  for (let count = 1; attributes.next(); count++) {
    if (count > MAX_ATTRIBUTES) return err(moreThan(MAX_ATTRIBUTES, "attributes in one tag"));
    const attribute = line.slice(attributes.nameStart, attributes.nameEnd);
    if (!REQUESTED.test(attribute)) continue;
    if (attribute !== "URI" || !attributes.quoted || !TAGS_WITH_FILE.has(name)) {
      return err(malformed(`a URL in ${name.slice(0, 40)}`));
    }
    const link = linkTo(line.slice(attributes.start, attributes.end));
    if (!link.ok) return link;
    rewritten += line.slice(copied, attributes.start) + link.value;
    copied = attributes.end;
  }
  return ok(rewritten + line.slice(copied));
}
