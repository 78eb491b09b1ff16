// Serves the texts beside an archive. Playlists and the index of the sprite sheet are rewritten: each name of a file becomes a link with
// the same signature, so all ranges of a file have one link. Subtitles are served unchanged.
// Example: `{key}.m3u8` of a link for three resolutions → one multivariant playlist that lists the video of all three.
import { rewriteArchivePlaylist, rewriteSpriteIndex } from "../../core/hls/archive_playlist.ts";
import type { PlaylistError } from "../../core/hls/errors.ts";
import { mergePlaylists } from "../../core/hls/merged_playlist.ts";
import {
  directoryCount,
  MAX_SCOPE_DIRECTORIES,
  sealContext,
  type SigningKeys,
  signTail,
  type VerifiedLink,
} from "../../core/link.ts";
import { LruCache } from "../../core/lru_cache.ts";
import { MASTER_ENDING } from "../../core/presentation.ts";
import { err, ok, type Result } from "../../core/result.ts";
import { compressedText } from "../http/compressed_text.ts";
import { PLAYLIST_TYPE } from "../http/media_type.ts";
import { badGateway, type Problem, problemResponse } from "../http/problem.ts";
import type { ArchivedFile } from "./archive.ts";
import type { ArchiveOptions } from "./hub.ts";
import { FRESH_SECONDS, readSidecar, type SidecarText } from "./sidecar_text.ts";

/** Rewriting takes less time than reading the result from the data centre's cache, so it is kept in memory only. */
const rewrittenTexts = new LruCache<string>({ maxWeight: 4 * 1024 * 1024 });

export interface SidecarRequest {
  readonly request: Request;
  readonly file: ArchivedFile;
  readonly link: VerifiedLink;
  readonly keys: SigningKeys;
  readonly options: ArchiveOptions;
}

/** Whether the file is a text that is served as a whole; pictures and the archive itself are streamed. */
export function isSidecarText({ ending }: ArchivedFile): boolean {
  return ending.endsWith(".m3u8") || ending.endsWith(".vtt");
}

export async function sidecarResponse(sidecar: SidecarRequest): Promise<Response> {
  const { request, file, link, options } = sidecar;
  const read = await readSidecar(file, link, options);
  if (!read.ok) return problemResponse(read.error);
  const text = await servedText(read.value, sidecar);
  if (!text.ok) return problemResponse(text.error);
  const type = file.ending.endsWith(".vtt") ? "text/vtt; charset=utf-8" : PLAYLIST_TYPE;
  return compressedText(request, text.value, { type, maxAgeSeconds: FRESH_SECONDS });
}

async function servedText(own: SidecarText, sidecar: SidecarRequest): Promise<Result<string, Problem>> {
  const { file, link } = sidecar;
  if (/^\.s\d+\.vtt$/.test(file.ending)) return ok(own.text);
  const merged = file.ending === MASTER_ENDING && link.context.files?.[0] === file.key
    ? await mergedWithOthers(own, sidecar)
    : { text: own.text, version: own.etag };
  const version = `${proxyUrlOf(sidecar.request)}\n${link.tail}\n${link.url.href}\n${merged.version}`;
  const known = merged.version === null ? undefined : rewrittenTexts.get(version);
  if (known !== undefined) return ok(known);
  const { tail, files } = await childLinks(sidecar);
  const head = `${proxyUrlOf(sidecar.request)}?${tail}&url=`;
  const directory = new URL("./", link.url).href;
  const rewrite = file.ending === ".sprite.vtt" ? rewriteSpriteIndex : rewriteArchivePlaylist;
  const rewritten = rewrite(merged.text, {
    ending: file.ending,
    keys: files,
    link: (name) => head + encodeURIComponent(directory + name),
  });
  if (!rewritten.ok) return err(damaged(rewritten.error));
  if (merged.version !== null) rewrittenTexts.set(version, rewritten.value, version.length + rewritten.value.length);
  return ok(rewritten.value);
}

/** The multivariant playlist with the video of the link's other archives. One that is missing or damaged is left out. */
async function mergedWithOthers(own: SidecarText, { file, link, options }: SidecarRequest) {
  const keys = link.context.files!.slice(1);
  const read = await Promise.all(keys.map(async (key) => {
    const name = file.name.replace(file.key, key);
    const rest = file.hubFile?.rest.replace(file.key, key);
    const hubFile = file.hubFile === null ? null : { ...file.hubFile, rest: rest! };
    const other = await readSidecar({ ...file, key, name, hubFile }, link, options);
    const isUsable = other.ok && rewriteArchivePlaylist(other.value.text, {
      ending: MASTER_ENDING,
      keys: [key],
      link: (its) => its,
    }).ok;
    return isUsable ? other.value : null;
  }));
  const others = read.filter((one) => one !== null);
  const etags = [own, ...others].map(({ etag }) => etag);
  return {
    text: mergePlaylists(own.text, others.map(({ text }) => text)),
    version: etags.includes(null) ? null : etags.join(" "),
  };
}

/**
 * One signature for all files that the text names: the link's own, or one for the text's directory. A link without `files` reaches the
 * files of its own archive only.
 */
async function childLinks({ file, link, keys }: SidecarRequest): Promise<{ tail: string; files: readonly string[] }> {
  const { kid, expiresAt, context, url } = link;
  const files = context.files ?? [file.key];
  if (link.scope !== null && context.files !== undefined) return { tail: link.tail, files };
  const sealed = await sealContext({ ...context, files }, keys, kid);
  const scopeDirectories = Math.min(directoryCount(url), MAX_SCOPE_DIRECTORIES);
  return { tail: await signTail(url, { keys, kid, expiresAt, scopeDirectories, sealed }), files };
}

function damaged({ reason, line }: PlaylistError): Problem {
  const where = line === undefined ? "" : ` (line ${line})`;
  return badGateway("archive_damaged", `a text beside the archive cannot be served: ${reason}${where}`);
}

function proxyUrlOf(request: Request): string {
  const url = new URL(request.url);
  return url.origin + url.pathname;
}
