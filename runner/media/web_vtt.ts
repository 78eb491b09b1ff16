/**
 * Joins a rendition's WebVTT segments into one file on the video's clock. Pure. RFC 8216 §3.5.
 * Example: X-TIMESTAMP-MAP=MPEGTS:126000,LOCAL:0 and a video that starts at 1.4 s → cues keep their times.
 */
export type VttSegment = { readonly text: string };

/** `videoStartSeconds`: timestamp of the first video packet; null without an MPEG-TS clock. */
export function joinWebVtt(segments: readonly VttSegment[], videoStartSeconds: number | null): string {
  const seen = new Set<string>();
  const cues: string[] = [];
  for (const segment of segments) {
    const [header = "", ...blocks] = segment.text.replace(/^\uFEFF/, "").replaceAll("\r\n", "\n").split(/\n{2,}/);
    const shift = timestampShift(header, videoStartSeconds);
    for (const block of blocks) {
      const cue = shiftCue(block.trim(), shift);
      if (cue === null || seen.has(cue)) continue; // a cue that spans two segments is repeated
      seen.add(cue);
      cues.push(cue);
    }
  }
  return `WEBVTT\n\n${cues.join("\n\n")}\n`;
}

function timestampShift(header: string, videoStartSeconds: number | null): number {
  const map = /X-TIMESTAMP-MAP=([^\n]+)/.exec(header)?.[1];
  const mpegts = /MPEGTS:(\d{1,12})/.exec(map ?? "")?.[1];
  const local = /LOCAL:([\d:.]+)/.exec(map ?? "")?.[1];
  if (mpegts === undefined || local === undefined || videoStartSeconds === null) return 0;
  return Number(mpegts) / 90_000 - (parseTime(local) ?? 0) - videoStartSeconds;
}

function shiftCue(block: string, shift: number): string | null {
  const lines = block.split("\n");
  const at = lines.findIndex((line) => line.includes("-->"));
  if (at === -1) return null; // NOTE, STYLE, REGION
  const match = /^\s*([\d:.]+)\s+-->\s+([\d:.]+)(.*)$/.exec(lines[at]!);
  const start = parseTime(match?.[1] ?? "");
  const end = parseTime(match?.[2] ?? "");
  if (start === null || end === null || end + shift <= 0) return null;
  const text = lines.slice(at + 1).join("\n");
  return `${formatTime(Math.max(0, start + shift))} --> ${formatTime(end + shift)}${match![3]}\n${text}`;
}

function parseTime(text: string): number | null {
  const match = /^(?:(\d{1,4}):)?(\d{1,2}):(\d{1,2})(?:\.(\d{1,3}))?$/.exec(text);
  if (match === null) return null;
  const [, hours = "0", minutes = "0", seconds = "0", ms = "0"] = match;
  return Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds) + Number(ms.padEnd(3, "0")) / 1000;
}

function formatTime(seconds: number): string {
  const ms = Math.round(seconds * 1000);
  const part = (value: number, width: number) => String(Math.floor(value)).padStart(width, "0");
  return `${part(ms / 3_600_000, 2)}:${part((ms / 60_000) % 60, 2)}:${part((ms / 1000) % 60, 2)}.${part(ms % 1000, 3)}`;
}
