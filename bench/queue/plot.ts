/** Grouped bars as SVG, readable on light and dark. Example: `barChart({ title, unit, groups: ["1 client"], series })`. */
export interface BarChart {
  readonly title: string;
  readonly unit: string;
  readonly groups: readonly string[];
  readonly series: readonly { readonly name: string; readonly values: readonly number[] }[];
}

const COLOURS = ["#2563eb", "#7dd3fc", "#6b7280", "#d1d5db", "#f59e0b", "#ef4444"];
const WIDTH = 960, PANEL_HEIGHT = 300, LEFT = 60, TOP = 64, BAR_AREA = 180;

export function barCharts(charts: readonly BarChart[]): string {
  const panels = charts.map((chart, index) => panel(chart, index * PANEL_HEIGHT)).join("\n");
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${
    charts.length * PANEL_HEIGHT
  }" font-family="system-ui, sans-serif" font-size="12">
<style>text { fill: #374151 } @media (prefers-color-scheme: dark) { text { fill: #d1d5db } }</style>
${panels}
</svg>
`;
}

function panel(chart: BarChart, y: number): string {
  const most = Math.max(...chart.series.flatMap((series) => series.values));
  const groupWidth = (WIDTH - LEFT - 20) / chart.groups.length;
  const barWidth = groupWidth * 0.85 / chart.series.length;
  const base = y + TOP + BAR_AREA;
  const bars = chart.groups.flatMap((group, g) => {
    const x = LEFT + g * groupWidth;
    return [
      ...chart.series.map((series, s) => {
        const value = series.values[g] ?? 0;
        const height = value / most * BAR_AREA;
        const left = x + s * barWidth;
        return `<rect x="${left.toFixed(1)}" y="${(base - height).toFixed(1)}" width="${
          (barWidth - 3).toFixed(1)
        }" height="${height.toFixed(1)}" fill="${COLOURS[s % COLOURS.length]}"/>
<text x="${(left + barWidth / 2 - 1.5).toFixed(1)}" y="${
          (base - height - 4).toFixed(1)
        }" text-anchor="middle" font-size="10">${value}</text>`;
      }),
      `<text x="${(x + groupWidth * 0.425).toFixed(1)}" y="${base + 18}" text-anchor="middle">${group}</text>`,
    ];
  });
  const legend = chart.series.map((series, s) =>
    `<rect x="${LEFT + s * 148}" y="${y + 34}" width="10" height="10" fill="${COLOURS[s % COLOURS.length]}"/><text x="${
      LEFT + s * 148 + 15
    }" y="${y + 43}">${series.name}</text>`
  );
  return [
    `<text x="${LEFT}" y="${y + 22}" font-size="15" font-weight="600">${chart.title} (${chart.unit})</text>`,
    ...legend,
    ...bars,
  ].join("\n");
}
