// The measurements as one SVG: a bar for every variant's median CPU time, a dot for every round, the target as a line.
import type { Measurement } from "./result.ts";

const WIDTH = 860;
const LABEL = 240;
const BAR = 18;
const GAP = 8;

export function plot(measurements: readonly Measurement[], machine: string): string {
  const parts: string[] = [];
  let y = 48;
  for (const { name, unit, variants, ratios } of measurements) {
    const entries = Object.entries(variants);
    const limits = ratios.filter(({ goal }) => goal.startsWith("≤"))
      .map(({ to, goal }) => variants[to]!.median_cpu_ms * Number(goal.slice(2)));
    // One very slow variant must not hide the others: the scale ends at four times the second slowest.
    const medians = entries.map(([, variant]) => variant.median_cpu_ms).sort((a, b) => b - a);
    const scale = (WIDTH - LABEL - 110) / Math.max(Math.min(medians[0]!, 4 * (medians[1] ?? medians[0]!)), ...limits);
    const x = (ms: number) => LABEL + Math.min(ms * scale, WIDTH - LABEL - 110);
    parts.push(text(16, y, `${escape(name)} · CPU ${escape(unit)}`, "title"));
    y += 12;
    const top = y;
    for (const [variant, { median_cpu_ms, rounds }] of entries) {
      parts.push(text(LABEL - 8, y + 13, escape(variant), "label", "end"));
      parts.push(`<rect x="${LABEL}" y="${y}" width="${(x(median_cpu_ms) - LABEL).toFixed(1)}" height="${BAR}"/>`);
      for (const { cpu_ms } of rounds) parts.push(`<circle cx="${x(cpu_ms).toFixed(1)}" cy="${y + BAR / 2}" r="2"/>`);
      const right = Math.max(...rounds.map(({ cpu_ms }) => x(cpu_ms)), x(median_cpu_ms));
      const cut = median_cpu_ms * scale > WIDTH - LABEL - 110 + 1 ? " (cut)" : "";
      parts.push(text(right + 8, y + 13, format(median_cpu_ms) + cut, "label"));
      y += BAR + GAP;
    }
    for (const limit of limits.slice(0, 1)) {
      parts.push(`<line x1="${x(limit).toFixed(1)}" x2="${x(limit).toFixed(1)}" y1="${top - 3}" y2="${y - GAP + 3}"/>`);
    }
    const summary = ratios.map(({ of, to, cpu, goal, met }) =>
      `${of} ÷ ${to} = ${cpu.toFixed(2)} (goal ${goal}${met ? "" : ", not met"})`
    );
    for (const one of summary) {
      parts.push(text(LABEL, y + 8, escape(one), "label"));
      y += 16;
    }
    y += 28;
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${y}" font-family="system-ui, sans-serif" font-size="12">
<style>text{fill:#333}.title{font-weight:600;font-size:13px}rect{fill:#8fb8de}circle{fill:#1d4e79}line{stroke:#c0392b;stroke-dasharray:4 3}
@media (prefers-color-scheme:dark){text{fill:#ddd}rect{fill:#41719c}circle{fill:#cfe4f7}}</style>
${
    text(
      16,
      22,
      `workerd, ${escape(machine)}; bar: median, dot: one round, dashed: goal, cut: too long for the picture`,
      "label",
    )
  }
${parts.join("\n")}
</svg>
`;
}

function text(x: number, y: number, content: string, style: string, anchor = "start"): string {
  return `<text x="${x.toFixed(1)}" y="${y}" class="${style}" text-anchor="${anchor}">${content}</text>`;
}

function format(ms: number): string {
  return ms >= 100 ? `${ms.toFixed(0)} ms` : ms >= 1 ? `${ms.toFixed(2)} ms` : `${(1000 * ms).toFixed(0)} µs`;
}

function escape(content: string): string {
  return content.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}
