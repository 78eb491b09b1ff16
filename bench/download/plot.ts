/** Bars per format at C1: duration relative to the limit of the connections, labelled in seconds. Pure. */
import type { Summary } from "./summary.ts";

const BAR = 20;
const LEFT = 200;
const WIDTH = 760;
const RIGHT = 140;
/** Longer bars are cut off, because sequential ffmpeg would make all others equally short. */
const MOST = 2.4;
const NAMES: Record<string, string> = {
  ts: "HLS, MPEG-TS",
  aes: "HLS, AES-128",
  fmp4: "HLS, fMP4",
  mp4: "MP4, 163 MB",
  large: "MP4, 610 MB",
};

export function plot(
  summary: readonly Summary[],
  limits: ReadonlyMap<string, number>,
  limitsOfAll: ReadonlyMap<string, number>,
): string {
  const scale = (ratio: number) => Math.round((Math.min(ratio, MOST) / MOST) * (WIDTH - LEFT - RIGHT));
  const parts: string[] = [];
  let y = 80;
  for (const [name, title] of Object.entries(NAMES)) {
    const rows = summary.filter((row) => row.name === name && row.line !== "uncapped" && row.ratio_to_limit !== null);
    if (rows.length === 0) continue;
    const limit = limits.get(name)!;
    parts.push(text({ x: 12, y: y + 15, bold: true }, title));
    parts.push(text({ x: 12, y: y + 31, grey: true }, `red: ${limit.toFixed(1)} s`));
    const top = y;
    const at = LEFT + scale(1);
    for (const row of rows.sort((a, b) => a.median_seconds - b.median_seconds)) {
      const width = scale(row.ratio_to_limit!);
      const fill = row.how === "runner" ? "#2f5bd7" : "#9aa3b5";
      parts.push(text({ x: LEFT - 8, y: y + 15, end: true }, row.how));
      parts.push(`<rect x="${LEFT}" y="${y}" width="${width}" height="${BAR}" rx="2" fill="${fill}"/>`);
      if (row.ratio_to_limit! > MOST) {
        const x = LEFT + width - 14;
        parts.push(`<path d="M${x} ${y + BAR + 2}l6 -${BAR + 4}" stroke="#fff" stroke-width="4"/>`);
      }
      const end = LEFT + width + 6;
      parts.push(
        text(
          { x: end < at ? Math.max(end, at + 6) : end, y: y + 15 },
          `${row.median_seconds} s · ${row.ratio_to_limit!.toFixed(2)} ×`,
        ),
      );
      y += BAR + 6;
    }
    const all = limitsOfAll.get(name);
    const lines = [{ x: at, dash: "" }, ...all === undefined ? [] : [{ x: LEFT + scale(all / limit), dash: "4 3" }]];
    for (const { x, dash } of lines) {
      parts.push(
        `<line x1="${x}" x2="${x}" y1="${top - 3}" y2="${
          y - 3
        }" stroke="#b3261e" stroke-width="2" stroke-dasharray="${dash}"/>`,
      );
    }
    y += 16;
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${y}" font-family="system-ui, sans-serif" font-size="13" role="img" aria-label="Time to archive a video, in multiples of what the connections allow">
<rect width="100%" height="100%" fill="#fff"/>
${
    text(
      { x: 12, y: 24, bold: true },
      "Time with 4 MB/s per connection, 50 ms latency, 100 ms per new connection",
    )
  }
${
    text(
      { x: 12, y: 43, grey: true },
      "the runner verifies and hashes, the others only download; the runner grows to 32 connections (HLS)",
    )
  }
${text({ x: 12, y: 60, grey: true }, "red: what 16 (HLS) or 8 (MP4) connections allow at best; dashed: what 32 allow")}
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
