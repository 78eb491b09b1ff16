// The figures of bench/streaming as one SVG: cold responses against their theoretical minimum, warm latencies against a bare route.

interface Plotted {
  readonly warm: {
    readonly streaming: { readonly p50Ms: number; readonly p99Ms: number; readonly requestsPerSecond: number };
    readonly bare: { readonly p50Ms: number; readonly p99Ms: number; readonly requestsPerSecond: number };
  };
  readonly cold: readonly { readonly name: string; readonly theoreticalMs: number; readonly medianMs: number }[];
}

interface Bar {
  readonly label: string;
  readonly value: number;
  readonly unit: string;
  readonly muted: boolean;
}

const WIDTH = 760;
const LEFT = 300;
const ROW = 22;

export function drawPlot({ warm, cold }: Plotted): string {
  const groups: readonly (readonly [string, readonly Bar[]])[] = [
    [
      "Cold, ten servers, every request 100 ms away (median)",
      cold.flatMap(({ name, theoreticalMs, medianMs }): Bar[] => [
        { label: name, value: medianMs, unit: "ms", muted: false },
        { label: "longest chain of requests", value: theoreticalMs, unit: "ms", muted: true },
      ]),
    ],
    ["Warm, 8 clients, p50 and p99", [
      { label: "streaming p50", value: warm.streaming.p50Ms, unit: "ms", muted: false },
      { label: "bare route p50", value: warm.bare.p50Ms, unit: "ms", muted: true },
      { label: "streaming p99", value: warm.streaming.p99Ms, unit: "ms", muted: false },
      { label: "bare route p99", value: warm.bare.p99Ms, unit: "ms", muted: true },
    ]],
    ["Warm, requests per second", [
      { label: "streaming", value: warm.streaming.requestsPerSecond, unit: "/s", muted: false },
      { label: "bare route", value: warm.bare.requestsPerSecond, unit: "/s", muted: true },
    ]],
  ];
  let y = 24;
  const parts: string[] = [];
  for (const [title, bars] of groups) {
    parts.push(`<text x="16" y="${y}" font-weight="600">${title}</text>`);
    y += 12;
    const largest = Math.max(...bars.map(({ value }) => value));
    for (const { label, value, unit, muted } of bars) {
      const width = Math.max(1, (value / largest) * (WIDTH - LEFT - 90));
      parts.push(
        `<text x="${LEFT - 10}" y="${y + 13}" text-anchor="end">${label}</text>`,
        `<rect x="${LEFT}" y="${y + 2}" width="${width.toFixed(1)}" height="${ROW - 7}" fill="${
          muted ? "#c3c9d1" : "#2f6fde"
        }"/>`,
        `<text x="${LEFT + width + 6}" y="${y + 13}">${value} ${unit}</text>`,
      );
      y += ROW;
    }
    y += 30;
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${y}" font-family="system-ui, sans-serif" font-size="12">` +
    `<rect width="100%" height="100%" fill="#fff"/>\n${parts.join("\n")}\n</svg>\n`;
}
