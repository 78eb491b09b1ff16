// `deno run -A bench/proxy/table.ts`: the table of docs/proxy.md out of bench/results/proxy.json. run.ts calls it at its end.
// Runs on: Deno.
import type { Measurement, Result } from "./result.ts";

const DOCUMENT = new URL("../../docs/proxy.md", import.meta.url);
const RESULT = new URL("../results/proxy.json", import.meta.url);
const [BEGIN, END] = ["<!-- measured: written by bench/proxy/table.ts -->", "<!-- end of measured -->"];

export function table({ measurements, ranges, machine, measured_at }: Result): string {
  const rows = measurements.flatMap(({ name, variants, ratios }) =>
    ratios.map((one) => {
      const beyond = one.cpu_beyond_untouched;
      const ratio = beyond === undefined
        ? one.cpu.toFixed(2)
        : `${one.cpu.toFixed(2)} (${beyond.toFixed(1)} beyond untouched)`;
      const cpu = `${milliseconds(variants, one.of)} ÷ ${milliseconds(variants, one.to)}`;
      return `| ${name}: ${one.of} ÷ ${one.to} | ${cpu} | ${ratio} | ${one.goal}${one.met ? "" : ", **missed**"} |`;
    })
  );
  const first = measurements.flatMap(({ name, variants }) => {
    const cpu = Object.entries(variants).flatMap(([variant, { first_cpu_ms }]) =>
      first_cpu_ms === undefined ? [] : [`${variant} ${first_cpu_ms.toFixed(0)} ms`]
    );
    return cpu.length === 0 ? [] : [`| ${name}: the first request of a new process | ${cpu.join(", ")} | | |`];
  });
  return [
    `${machine}, ${measured_at.slice(0, 10)}.`,
    "",
    "| | CPU | ratio | goal |",
    "|---|---|---|---|",
    ...rows,
    ...first,
    `| ${ranges.ranges} ranges of an archived file | | ${ranges.resolves} Hub resolve, ${ranges.cdn} CDN requests | 1 |`,
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
  if (begin === -1 || end === -1) throw new Error(`docs/proxy.md has no place for the table: ${BEGIN} … ${END}`);
  await Deno.writeTextFile(DOCUMENT, `${text.slice(0, begin)}${BEGIN}\n${table(result)}\n${text.slice(end)}`);
}

if (import.meta.main) await writeTable();
