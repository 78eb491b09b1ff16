/** One measured download in a separate process: `variant.ts runner|ffmpeg|aria2c|yt-dlp NAME ORIGIN`. Prints one JSON line. */
import process from "node:process";
import { createDiskBudget } from "../../runner/work_dir/disk_budget.ts";
import { fetchSource } from "../../runner/job/fetch_source.ts";
import { Progress } from "../../runner/job/progress.ts";
import { openJobDir } from "../../runner/work_dir/work_dir.ts";
import { startForwardProxy } from "../../runner/network/forward_proxy.ts";
import { createGuardedFetch } from "../../runner/network/guarded_fetch.ts";
import { LARGE_SECONDS, SECONDS } from "./media.ts";

const [how = "runner", name = "ts", origin = ""] = Deno.args;
const progressive = name === "mp4" || name === "large";
const url = `${origin}/${progressive ? `${name}.mp4` : `${name}/v.m3u8`}`;
const expected = name === "large" ? LARGE_SECONDS : SECONDS;
const phases: Record<string, number> = {};
const dir = await Deno.makeTempDir({ prefix: "keepstream-bench-" });
const startedAt = performance.now();
const path = how === "runner" ? await runner() : await command();
const seconds = (performance.now() - startedAt) / 1000;
const duration = await probeDuration(path);
const { size } = await Deno.stat(path);
console.log(JSON.stringify({ seconds, phases, duration, bytes: size, ...cpu(), peak_mib: peakMib() }));
await Deno.remove(dir, { recursive: true });
Deno.exit(Math.abs(duration - expected) < 2 ? 0 : 1);

async function runner(): Promise<string> {
  const policy = { allowedOrigins: [origin] };
  const proxy = startForwardProxy();
  const session = proxy.openSession({ policy, maxBytes: 4e9 });
  const progress = new Progress(() => performance.now());
  const jobDir = await openJobDir(dir, crypto.randomUUID());
  const { final } = await fetchSource({
    candidate: { id: null, embedUrl: null, videoUrl: url, kind: progressive ? "mp4" : "hls", headers: {} },
    resolution: null,
    source: "bench",
  }, {
    dir: jobDir,
    session,
    fetch: createGuardedFetch(session),
    policy,
    signal: new AbortController().signal,
    progress,
    reservation: await createDiskBudget(dir).reserve(0),
    maxBytes: 4e9,
    hlsConnections: 32,
    mp4Connections: 8,
    fileKey: "bench",
    archive: { form: "auto", segmentSeconds: 6 },
    onResumed: () => {},
    onPhase: () => phases[progress.phase] = Number(((performance.now() - startedAt) / 1000).toFixed(2)),
  });
  return final.path;
}

async function command(): Promise<string> {
  const output = `${dir}/out.mp4`;
  const commands: Record<string, string[]> = {
    ffmpeg: ["-nostdin", "-v", "error", "-i", url, "-c", "copy", output],
    aria2c: ["-q", "-x8", "-s8", "-k1M", "--file-allocation=none", "-d", dir, "-o", "out.mp4", url],
    "yt-dlp": ["-q", "--no-warnings", "--no-config", "-N", "16", "-o", output, url],
  };
  const { success } = await new Deno.Command(how, { args: commands[how]! }).output();
  if (!success) throw new Error(`${how} failed`);
  return output;
}

async function probeDuration(path: string): Promise<number> {
  const { stdout } = await new Deno.Command("ffprobe", {
    args: ["-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", path],
    stdout: "piped",
  }).output();
  return Number(new TextDecoder().decode(stdout));
}

/** Of this process and its finished children. */
function cpu() {
  const fields = Deno.readTextFileSync("/proc/self/stat").split(") ")[1]!.split(" ");
  const ticks = (from: number) => (Number(fields[from]) + Number(fields[from + 1])) / 100;
  return { cpu_seconds: ticks(11), children_cpu_seconds: ticks(13) };
}

function peakMib(): number {
  return Math.round(process.resourceUsage().maxRSS / 1024);
}
