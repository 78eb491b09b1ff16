/** Bars per format at C1: how many times as long as the connections allow at best, with the seconds beside. Pure. */
import type { Summary } from "./summary.ts";

const BAR = 20;
const LEFT = 200;
const WIDTH = 760;
const RIGHT = 140;
/** Longer bars are broken off: sequential ffmpeg would make all others look alike. */
const MOST = 2.4;
const NAMES: Record<string, string> = {
  ts: "HLS, MPEG-TS",
  aes: "HLS, AES-128",
  fmp4: "HLS, fMP4",
  mp4: "MP4, 163 MB",
  large: "MP4, 610 MB",
};

export function plot(summary: readonly Summary[], limits: ReadonlyMap<string, number>): string {
  const scale = (ratio: number) => Math.round((Math.min(ratio, MOST) / MOST) * (WIDTH - LEFT - RIGHT));
  const parts: string[] = [];
  let y = 64;
  for (const [name, title] of Object.entries(NAMES)) {
    const rows = summary.filter((row) => row.name === name && row.line !== "uncapped" && row.ratio_to_limit !== null);
    if (rows.length === 0) continue;
    const limit = limits.get(name)!;
    parts.push(text({ x: 12, y: y + 15, bold: true }, title));
    parts.push(text({ x: 12, y: y + 31, grey: true }, `at best ${limit.toFixed(1)} s`));
    const top = y;
    for (const row of rows.sort((a, b) => a.median_seconds - b.median_seconds)) {
      const width = scale(row.ratio_to_limit!);
      const fill = row.how === "runner" ? "#2f5bd7" : "#9aa3b5";
      parts.push(text({ x: LEFT - 8, y: y + 15, end: true }, row.how));
      parts.push(`<rect x="${LEFT}" y="${y}" width="${width}" height="${BAR}" rx="2" fill="${fill}"/>`);
      if (row.ratio_to_limit! > MOST) {
        const x = LEFT + width - 14;
        parts.push(`<path d="M${x} ${y + BAR + 2}l6 -${BAR + 4}" stroke="#fff" stroke-width="4"/>`);
      }
      parts.push(
        text({ x: LEFT + width + 6, y: y + 15 }, `${row.median_seconds} s · ${row.ratio_to_limit!.toFixed(2)} ×`),
      );
      y += BAR + 6;
    }
    const at = LEFT + scale(1);
    parts.push(`<line x1="${at}" x2="${at}" y1="${top - 3}" y2="${y - 3}" stroke="#b3261e" stroke-width="2"/>`);
    y += 16;
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${y}" font-family="system-ui, sans-serif" font-size="13" role="img" aria-label="Time to archive a video, in multiples of what the connections allow">
<rect width="100%" height="100%" fill="#fff"/>
${
    text(
      { x: 12, y: 24, bold: true },
      "Time on a line of 4 MB/s per connection, 50 ms latency, 100 ms per new connection",
    )
  }
${
    text(
      { x: 12, y: 43, grey: true },
      "red: what 16 (HLS) or 8 (MP4) connections allow at best; the runner grows to 32 (HLS), verifies and hashes, the others only download",
    )
  }
${parts.join("\n")}
</svg>
`;
}

function text(at: { x: number; y: number; bold?: boolean; grey?: boolean; end?: boolean }, content: string): string {
  const weight = at.bold ? ' font-weight="600"' : "";
  const fill = at.grey ? ' fill="#5b6472"' : "";
  const anchor = at.end ? ' text-anchor="end"' : "";
  return `<text x="${at.x}" y="${at.y}"${weight}${fill}${anchor}>${content}</text>`;
}
