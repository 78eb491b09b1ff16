/** Bars of seconds per way and format at C1, with the computed limit as a line across each. Pure. */
export type Summary = {
  line: string;
  how: string;
  name: string;
  median_seconds: number;
  limit_seconds: number | null;
  ratio_to_limit: number | null;
  cpu_seconds: number;
  peak_mib: number;
};

const BAR = 22;
const LEFT = 150;
const WIDTH = 760;

export function plot(summary: readonly Summary[]): string {
  const rows = summary.filter((row) => row.line === "C1").sort((a, b) =>
    a.name.localeCompare(b.name) || a.median_seconds - b.median_seconds
  );
  const most = Math.max(...rows.map((row) => row.median_seconds));
  const scale = (seconds: number) => Math.round((seconds / most) * (WIDTH - LEFT - 70));
  const height = 70 + rows.length * (BAR + 10);
  const bars = rows.map((row, i) => {
    const y = 50 + i * (BAR + 10);
    const limit = row.limit_seconds === null
      ? ""
      : `<line x1="${LEFT + scale(row.limit_seconds)}" x2="${LEFT + scale(row.limit_seconds)}" y1="${y - 3}" y2="${
        y + BAR + 3
      }" stroke="#b3261e" stroke-width="2"/>`;
    return `<text x="${LEFT - 8}" y="${y + 16}" text-anchor="end">${row.how} · ${row.name}</text>` +
      `<rect x="${LEFT}" y="${y}" width="${scale(row.median_seconds)}" height="${BAR}" rx="3" fill="${
        row.how === "runner" ? "#2f5bd7" : "#9aa3b5"
      }"/>` +
      `<text x="${LEFT + scale(row.median_seconds) + 6}" y="${y + 16}">${row.median_seconds} s</text>${limit}`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="system-ui, sans-serif" font-size="13" role="img" aria-label="Seconds to archive 600 s of video on a line of 4 MB/s per connection">
<rect width="100%" height="100%" fill="#fff"/>
<text x="12" y="24" font-size="15" font-weight="600">Seconds for 600 s of video at 4 MB/s per connection, 50 ms latency (red: at best)</text>
${bars.join("\n")}
</svg>
`;
}
