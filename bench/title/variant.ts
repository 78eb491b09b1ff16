/** Writes one file again and again: a kind per line of stdin, one line of JSON each. Started by main.ts. */
import { writeFastStart } from "../../runner/mp4/fast_start.ts";
import { writePresentation } from "../../runner/presentation/write_presentation.ts";

export interface VariantResult {
  readonly cpuSeconds: number;
  readonly wallSeconds: number;
  readonly outputBytes: number;
  /** Of the process until now; null for programs. */
  readonly maxRssMiB: number | null;
}

if (import.meta.main) {
  const [input, output] = Deno.args as [string, string];
  const decoded = Deno.stdin.readable.pipeThrough(
    new TextDecoderStream() as TransformStream<Uint8Array<ArrayBuffer>, string>,
  );
  for await (const line of decoded) console.log(JSON.stringify(await measure(line.trim(), input, output)));
}

async function measure(kind: string, input: string, output: string): Promise<VariantResult> {
  await Deno.remove(output).catch(() => {});
  if (kind === "cp" || kind === "sha256sum") return await measureProgram(kind, input, output);
  const [cpu, startedAt] = [process.cpuUsage(), performance.now()];
  const signal = new AbortController().signal;
  if (kind === "plain") await writeFastStart(input, output, signal);
  else await writePresentation({ path: input }, { output, signal, fileKey: "ep", form: "auto", segmentSeconds: 6 });
  const used = process.cpuUsage(cpu);
  return {
    cpuSeconds: round((used.user + used.system) / 1e6),
    wallSeconds: round((performance.now() - startedAt) / 1000),
    outputBytes: (await Deno.stat(output)).size,
    maxRssMiB: Math.round(process.resourceUsage().maxRSS / 1024),
  };
}

/** bash reports the time of its child. */
async function measureProgram(kind: string, input: string, output: string): Promise<VariantResult> {
  const command = kind === "cp" ? 'cp "$1" "$2"' : 'sha256sum "$1"';
  const { stderr } = await new Deno.Command("bash", {
    args: ["-c", `TIMEFORMAT="%R %U %S"; time ${command} > /dev/null`, "bash", input, output],
    stderr: "piped",
  }).output();
  const [wall, user, system] = new TextDecoder().decode(stderr).trim().split(" ").map(Number);
  const outputBytes = kind === "cp" ? (await Deno.stat(output)).size : 0;
  return { cpuSeconds: round(user! + system!), wallSeconds: wall!, outputBytes, maxRssMiB: null };
}

function round(seconds: number): number {
  return Math.round(seconds * 1000) / 1000;
}
