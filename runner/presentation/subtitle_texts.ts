/** Reads the text tracks of the input, for their WebVTT files. */
import type { Source } from "./source.ts";
import type { TextCue } from "../mp4/moov.ts";
import { textOfSample } from "./text_cues.ts";
import type { TrackTables } from "./track_tables.ts";

const MAX_SAMPLES = 200_000;
const MAX_BYTES = 16 * 1024 * 1024;

/** Empty if there is no text, or too much. */
export function readCues(
  { files }: Source,
  { count, sizes, offsets, files: own, durations, timescale, edit }: TrackTables,
  signal: AbortSignal,
): TextCue[] {
  const bytes = sizes.reduce((sum, size) => sum + size, 0);
  if (count > MAX_SAMPLES || bytes > MAX_BYTES) return [];
  using inputs = new DisposableStack();
  const open = new Map<number, Deno.FsFile>();
  const cues: TextCue[] = [];
  let ticks = Math.round(edit.empty * timescale) - edit.mediaTime;
  for (let i = 0; i < count; i++) {
    signal.throwIfAborted();
    const [start, end] = [ticks / timescale, (ticks + durations[i]!) / timescale];
    ticks += durations[i]!;
    if (sizes[i]! <= 2 || end <= 0) continue;
    const index = own?.[i] ?? 0;
    const file = open.get(index) ?? inputs.use(Deno.openSync(files[index]!));
    open.set(index, file);
    const sample = readSmall(file, offsets[i]!, sizes[i]!);
    const text = sample === null ? "" : textOfSample(sample);
    if (text !== "") cues.push({ start: Math.max(0, start), end, text });
  }
  return cues;
}

/** A read of the thread pool costs more than one of such few bytes. null if the file ends before. */
function readSmall(file: Deno.FsFile, offset: number, length: number): Uint8Array | null {
  file.seekSync(offset, Deno.SeekMode.Start);
  const bytes = new Uint8Array(length);
  for (let filled = 0; filled < length;) {
    const read = file.readSync(bytes.subarray(filled));
    if (read === null) return null;
    filled += read;
  }
  return bytes;
}
