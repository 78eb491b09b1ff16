/**
 * Checks an archive and its playlists against RFC 8216, RFC 8216bis §3.3 and ISO/IEC 14496-12, with a reader of its own: it uses nothing of
 * the writer. Example: `await validate({ path, texts, fileKey })` → [] or the problems found.
 */
import { find, readBoxes, viewAt } from "./box_reader.ts";
import { type MediaPlaylist, parseMaster, parseMedia } from "./playlist_reader.ts";
import { chunksOf, type OuterChunk } from "./outer_chunks.ts";
import { fragmentProblems, type FragmentState, initProblems } from "./fragment_rules.ts";

export interface ArchiveFiles {
  readonly path: string;
  readonly texts: ReadonlyMap<string, string>;
  readonly fileKey: string;
}

export async function validate({ path, texts, fileKey }: ArchiveFiles): Promise<string[]> {
  using file = await Deno.open(path);
  const { size } = await file.stat();
  const problems: string[] = [];
  const top = await readBoxes(file, { from: 0, to: size });
  const moov = top?.find(({ type }) => type === "moov");
  const mdat = top?.find(({ type }) => type === "mdat");
  if (top === null || moov === undefined || mdat === undefined) return ["the file is no sequence of boxes"];
  const order = top.map(({ type }) => type).join(" ");
  if (order !== "ftyp moov mdat") problems.push(`top level: ${order}`);
  const outer = await viewAt(file, moov.offset, moov.size);
  if (find(outer, ["moov", "mvex"]) !== null) problems.push("the outer moov has mvex");
  if (texts.size === 0) return problems;
  const inside = await readBoxes(file, { from: mdat.body, to: mdat.end });
  if (inside === null) problems.push("the inside of mdat is no sequence of boxes");
  const chunks = chunksOf(outer);
  for (const [ending, text] of texts) {
    const kind = /^\.(v|i|a\d+)\.m3u8$/.exec(ending)?.[1];
    if (kind === undefined) continue;
    const playlist = parseMedia(text);
    const add = (found: readonly string[]) => problems.push(...found.map((problem) => `${ending}: ${problem}`));
    add(playlist.problems);
    add(playlist.uris.filter((uri) => uri !== `${fileKey}.mp4`).map((uri) => `names ${uri}`));
    add(await mediaProblems(file, playlist, { chunks, iFrames: kind === "i", isVideo: kind === "v" || kind === "i" }));
  }
  problems.push(...masterProblems(texts, fileKey));
  return problems;
}

async function mediaProblems(
  file: Deno.FsFile,
  playlist: MediaPlaylist,
  { chunks, iFrames, isVideo }: { chunks: readonly OuterChunk[]; iFrames: boolean; isVideo: boolean },
): Promise<string[]> {
  const init = await viewAt(file, playlist.map.offset, playlist.map.bytes);
  const { problems, trackId, timescale } = initProblems(init);
  const own = chunks.filter((chunk) => chunk.trackId === trackId);
  if (playlist.segments.length !== own.length) {
    problems.push(`${playlist.segments.length} segments, ${own.length} chunks`);
  }
  let state: FragmentState = { sequence: 0, decode: 0 };
  for (const [i, { offset, bytes, seconds }] of playlist.segments.entries()) {
    const view = await viewAt(file, offset, bytes);
    const read = fragmentProblems(view, { trackId, state, iFrames, isVideo });
    problems.push(...read.problems.map((problem) => `segment ${i}: ${problem}`));
    state = read.state;
    const chunk = own[i];
    // The first fragment may have silence that the outer moov does not name.
    const samplesAt = offset + read.payloadAt;
    const silence = chunk === undefined ? 0 : chunk.offset - samplesAt;
    const count = read.samples - (silence > 0 ? read.leading(silence) : 0);
    if (chunk === undefined || silence < 0 || silence > 0 && i > 0 || chunk.count !== count) {
      problems.push(`segment ${i}: its samples are not chunk ${i} of the outer moov`);
    }
    const difference = Math.abs(read.ticks / timescale - seconds);
    // EXTINF counts from the first presentation, tfdt from the first decoding time.
    if (!iFrames && i > 0 && i + 1 < playlist.segments.length && difference > 0.6) {
      problems.push(`segment ${i}: EXTINF ${seconds}, fragment ${(read.ticks / timescale).toFixed(3)} s`);
    }
  }
  return problems;
}

function masterProblems(texts: ReadonlyMap<string, string>, fileKey: string): string[] {
  const master = parseMaster(texts.get(".m3u8") ?? "");
  const problems = [...master.problems];
  for (const uri of master.uris) {
    if (!uri.startsWith(`${fileKey}.`) || !texts.has(uri.slice(fileKey.length))) problems.push(`master: names ${uri}`);
  }
  for (const [ending, text] of texts) {
    const subtitles = /^(\.s\d+)\.m3u8$/.exec(ending)?.[1];
    if (subtitles === undefined) continue;
    const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
    if (lines.join() !== `${fileKey}${subtitles}.vtt`) problems.push(`${ending}: names ${lines}`);
    if (!/^WEBVTT\n/.test(texts.get(`${subtitles}.vtt`) ?? "")) problems.push(`${subtitles}.vtt is no WebVTT`);
  }
  return problems;
}
