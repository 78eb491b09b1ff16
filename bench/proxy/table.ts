// Writes the table of docs/benchmarks/proxy.md from bench/results/proxy.json: `deno run -A bench/proxy/table.ts`. run.ts does the same.
import type { Measurement, Result } from "./result.ts";

const DOCUMENT = new URL("../../docs/benchmarks/proxy.md", import.meta.url);
const RESULT = new URL("../results/proxy.json", import.meta.url);
const [BEGIN, END] = ["<!-- measured: written by bench/proxy/table.ts -->", "<!-- end of measured -->"];

export function table({ measurements, ranges, machine, measured_at }: Result): string {
  const rows = measurements.flatMap(({ name, variants, ratios }) =>
    ratios.map(({ of, to, cpu }) => {
      const [own, other, ratio] = of.startsWith("proxy") ? [of, to, cpu] : [to, of, 1 / cpu];
      return `| ${name} | ${own} ${milliseconds(variants, own)} | ${other} ${milliseconds(variants, other)} | ${
        ratio.toFixed(2)
      } |`;
    })
  );
  const first = measurements.flatMap(({ name, variants }) => {
    const [own, ...others] = Object.entries(variants).flatMap(([variant, { first_cpu_ms }]) =>
      first_cpu_ms === undefined ? [] : [`${variant} ${first_cpu_ms.toFixed(0)} ms`]
    );
    return own === undefined ? [] : [`| ${name}, first request of a process | ${own} | ${others.join("; ")} | |`];
  });
  const { resolves, cdn } = ranges;
  return [
    `${machine}, ${measured_at.slice(0, 10)}.`,
    "",
    "| | CPU | compared with | ratio |",
    "|---|---|---|---|",
    ...rows,
    ...first,
    "",
    `${ranges.ranges} ranges of an archived file cost ${resolves} request to the Hub and ${cdn} to its CDN.`,
  ].join("\n");
}

function milliseconds(variants: Measurement["variants"], name: string): string {
  const ms = variants[name]!.median_cpu_ms;
  return ms >= 100 ? `${ms.toFixed(0)} ms` : ms >= 1 ? `${ms.toFixed(1)} ms` : `${(1000 * ms).toFixed(0)} µs`;
}

export async function writeTable(): Promise<void> {
  const result: Result = JSON.parse(await Deno.readTextFile(RESULT));
  const text = await Deno.readTextFile(DOCUMENT);
  const [begin, end] = [text.indexOf(BEGIN), text.indexOf(END)];
  if (begin === -1 || end === -1) throw new Error(`docs/benchmarks/proxy.md needs the lines ${BEGIN} and ${END}`);
  await Deno.writeTextFile(DOCUMENT, `${text.slice(0, begin)}${BEGIN}\n${table(result)}\n${text.slice(end)}`);
}

if (import.meta.main) await writeTable();
