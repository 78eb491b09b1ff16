/** The cues of a WebVTT sample in MP4. Pure. ISO/IEC 14496-30 §7: vttc (a cue: payl, sttg, iden), vtte (none), vtta (a comment). */
import { childBoxes } from "../mp4/boxes.ts";
import { cleanText, type Cue, MAX_CUE_LENGTH } from "./cue.ts";
import type { TextSample } from "./fmp4_samples.ts";

/** null if the sample has no valid boxes. */
export function readWvttCues({ start, end, bytes }: TextSample): Cue[] | null {
  const boxes = childBoxes(bytes, { start: 0, end: bytes.length });
  if (boxes === null) return null;
  return boxes.filter(({ type }) => type === "vttc").flatMap((cue) => {
    const payload = childBoxes(bytes, { start: cue.body, end: cue.end })?.find(({ type }) => type === "payl");
    if (payload === undefined || end <= start) return [];
    const text = new TextDecoder().decode(bytes.subarray(payload.body, payload.end));
    const clean = cleanText(text.replace(/\r\n?/g, "\n").replaceAll("\0", "\uFFFD"));
    return clean === "" || clean.length > MAX_CUE_LENGTH ? [] : [{ start, end, text: clean }];
  });
}
