/**
 * Brings the cues of all segments into one list that a text track of an MP4 can contain: sorted, without repetitions, and without
 * overlaps. Pure. Example: [1, 5] "A" and [3, 7] "B" → [1, 3] "A", [3, 5] "A\nB", [5, 7] "B".
 */
import { type Cue, MAX_CUE_LENGTH } from "./cue.ts";

export interface PlacedCue extends Cue {
  /** Cues of one group are different ones, even if their texts are equal: a WebVTT segment, a sample of an MP4. */
  readonly group: number;
}

/** Between a cue and its continuation in the next segment: rounding. */
const MAX_JOIN_GAP_SECONDS = 0.05;
/** Shorter overlaps are rounding. */
const MIN_OVERLAP_SECONDS = 0.05;
const MIN_CUE_SECONDS = 0.001;
/** Shown at the same time; further ones would cover the picture. */
const MAX_SIMULTANEOUS = 12;
/** Of the whole list: overlaps repeat texts. */
const MAX_LIST_LENGTH = 16 * 1024 * 1024;

/** Sorted; a cue that several segments contain, or of which each contains a part, becomes one. */
export function mergeCues(cues: readonly PlacedCue[]): Cue[] {
  const sorted = cues.map((cue) => ({ ...cue })).sort((a, b) => a.start - b.start || a.end - b.end);
  const merged: PlacedCue[] = [];
  /** By text: the position in `merged` and the latest group of its parts. */
  const last = new Map<string, { index: number; group: number }>();
  for (const cue of sorted) {
    const key = `${cue.settings ?? ""}\n${cue.text}`;
    const before = last.get(key);
    const earlier = before && merged[before.index]!;
    const continues = before && earlier && (before.group !== cue.group || sameTimes(earlier, cue)) &&
      cue.start <= earlier.end + MAX_JOIN_GAP_SECONDS;
    if (continues) {
      merged[before.index] = { ...earlier, end: Math.max(earlier.end, cue.end) };
      before.group = cue.group;
    } else {
      last.set(key, { index: merged.push(cue) - 1, group: cue.group });
    }
  }
  return merged.map(({ group: _, ...cue }) => cue);
}

/**
 * `cues` sorted by start. Texts that overlap are shown together, in the order of their starts. `dropped` were too many at one time, or in all.
 */
export function withoutOverlaps(cues: readonly Cue[]): { readonly cues: readonly Cue[]; readonly dropped: number } {
  const out: Cue[] = [];
  let active: Cue[] = [];
  let [shownUntil, dropped, length] = [0, 0, 0];
  /** Shows what is active up to `time`. */
  const advance = (time: number) => {
    while (active.length > 0) {
      const next = Math.min(time, ...active.map((cue) => cue.end));
      const text = next - shownUntil >= MIN_CUE_SECONDS ? textOf(active) : "";
      length += text.length;
      if (text !== "") out.push({ start: shownUntil, end: next, text });
      shownUntil = next;
      active = active.filter((cue) => cue.end > next);
      if (next >= time) break;
    }
    shownUntil = time;
  };
  for (const cue of cues) {
    active = active.map((earlier) => endedAt(cue.start, earlier));
    advance(cue.start);
    if (active.length < MAX_SIMULTANEOUS && length < MAX_LIST_LENGTH) active.push(cue);
    else dropped++;
  }
  advance(Math.max(shownUntil, ...active.map((cue) => cue.end)));
  return { cues: out, dropped };
}

/** Ends a cue where the next one starts if they overlap by rounding only. */
function endedAt(start: number, cue: Cue): Cue {
  const overlap = cue.end - start;
  return overlap > 0 && overlap < MIN_OVERLAP_SECONDS && start - cue.start > MIN_OVERLAP_SECONDS
    ? { ...cue, end: start }
    : cue;
}

function sameTimes(a: Cue, b: Cue): boolean {
  return Math.abs(a.start - b.start) < MIN_CUE_SECONDS && Math.abs(a.end - b.end) < MIN_CUE_SECONDS;
}

function textOf(cues: readonly Cue[]): string {
  let text = "";
  for (const cue of cues) {
    if (text !== "" && text.length + cue.text.length > MAX_CUE_LENGTH) break;
    text += text === "" ? cue.text : `\n${cue.text}`;
  }
  return text;
}
