// `deno task bench:proxy [--only=body|small|playlists|decryption] [--quick]`: the proxy against a Worker that only does `return fetch(url)`.
// Every variant is a separate workerd process, and rounds alternate. The figure is the CPU time of that process
// (/proc/PID/task/*/schedstat), with wall time in addition. Writes bench/results/proxy.json, proxy.svg and the table of
// docs/benchmarks/proxy.md in about three minutes. Linux only.
import assert from "node:assert/strict";
import { createCipheriv } from "node:crypto";
import { cpus } from "node:os";
import { createRepo, uploadFile } from "@huggingface/hub";
import { archiveLocation, archiveUrl } from "../../core/archive_location.ts";
import { encodeBase64Url } from "../../core/base64url.ts";
import { parsePlaylist } from "../../core/hls/playlist.ts";
import { parseSigningKeys, signLink, type SignLinkOptions } from "../../core/link.ts";
import { unwrap } from "../../core/result.ts";
import { CommandError, commandLine } from "../../cli/command_line.ts";
import { createTestHub } from "../../dev/emulators/hub/test_hub.ts";
import { type RunningWorker, startWorker } from "../../dev/emulators/workerd/workerd.ts";
import { MEBIBYTE, SEGMENTS, type Spelling } from "./origin.ts";
import { plot } from "./plot.ts";
import type { Measurement, Result, Round } from "./result.ts";
import { writeTable } from "./table.ts";

const HERE = new URL("./", import.meta.url).pathname;
const RESULTS = new URL("../results/", import.meta.url);
const KEY_TEXT = `k1:${"A".repeat(43)}`;
const KEYS = unwrap(parseSigningKeys(KEY_TEXT));
/** Links as the API makes them: the Worker records fingerprints of their playlists. */
const EPISODE = { malId: 1, episode: 1, provider: "animasu", server: "https://embed.test/1" };
const MEGA_KEY = Uint8Array.from({ length: 32 }, (_, i) => i);

interface Variant {
  readonly name: string;
  readonly worker: RunningWorker;
  /** One unit of work, or `units` of them. */
  readonly work: () => Promise<void>;
  readonly units?: number;
}

if (import.meta.main) await main();

async function main(): Promise<void> {
  const { quick = false, only } = commandLine({
    usage: "usage: deno task bench:proxy [--quick] [--only body|small|playlists|decryption]",
    options: { quick: { type: "boolean" }, only: { type: "string" } },
  }, ({ values }) => {
    const areas = ["body", "small", "playlists", "decryption"];
    if (values.only === undefined || areas.includes(values.only)) return values;
    throw new CommandError(`--only is one of ${areas.join(", ")}, not ${values.only}`);
  });
  const origin = await startOriginProcess();
  try {
    const areas: Record<string, () => Promise<readonly Measurement[]>> = {
      body: async () => [await body(origin.url, { rounds: quick ? 3 : 5, size: quick ? 64 << 20 : 512 << 20 })],
      small: async () => [await small(origin.url, { rounds: quick ? 4 : 7, requests: quick ? 300 : 800 })],
      playlists: () => playlists(origin.url, { rounds: quick ? 3 : 5, requests: quick ? 5 : 10 }),
      decryption:
        async () => [await decryption(origin.url, { rounds: quick ? 3 : 5, size: quick ? 32 << 20 : 256 << 20 })],
    };
    const measurements: Measurement[] = [];
    for (const [area, run] of Object.entries(areas)) {
      if (only === undefined || only === area) measurements.push(...await run());
    }
    print(measurements);
    // A partial measurement is for experiments and does not replace the committed results.
    if (only !== undefined || quick) return;
    const ranges = await hubRanges(200);
    const machine = `${cpus()[0]?.model.trim()}, ${cpus().length} cores, ${Deno.build.os} ${Deno.osRelease()}`;
    const result: Result = {
      machine,
      measured_at: new Date().toISOString(),
      workerd: "1.20261023.1",
      measurements,
      ranges,
    };
    await Deno.mkdir(RESULTS, { recursive: true });
    await Deno.writeTextFile(new URL("proxy.json", RESULTS), JSON.stringify(result, null, 1) + "\n");
    await Deno.writeTextFile(new URL("proxy.svg", RESULTS), plot(measurements, machine));
    await writeTable();
    console.log(
      `${ranges.ranges} ranges of an archived file: ${ranges.resolves} Hub resolve, ${ranges.cdn} CDN requests`,
    );
  } finally {
    await origin.stop();
  }
}

function print(measurements: readonly Measurement[]): void {
  for (const { name, variants, ratios } of measurements) {
    for (const [variant, { median_cpu_ms, median_wall_ms }] of Object.entries(variants)) {
      console.log(`${name}: ${variant} ${median_cpu_ms.toFixed(3)} ms CPU, ${median_wall_ms.toFixed(3)} ms`);
    }
    for (const { of, to, cpu, cpu_beyond_untouched: beyond, goal, met } of ratios) {
      const rest = beyond === undefined ? "" : `, ${beyond.toFixed(3)} beyond untouched`;
      console.log(`${name}: ${of} / ${to} = ${cpu.toFixed(3)}${rest} (goal ${goal}) ${met ? "met" : "NOT met"}`);
    }
  }
}

async function body(origin: string, options: { rounds: number; size: number }): Promise<Measurement> {
  const { size } = options;
  const bare = await bareWorker();
  const proxy = await proxyWorker(origin);
  const target = `${origin}/a.mp4?n=${size}`;
  const link = await linkTo(proxy, target);
  const bareLink = `${bare.url}/?url=${encodeURIComponent(target)}`;
  for (const url of [link, bareLink]) await checkBytes(`${url}`, size);
  return await measure(`body of ${size >> 20} MiB`, "ms per body", options.rounds, 1, [
    { name: "bare fetch", worker: bare, work: () => drain(bareLink, size) },
    { name: "proxy", worker: proxy, work: () => drain(link, size) },
  ], [["proxy", "bare fetch", 1.10, "≤"]]);
}

async function small(origin: string, options: { rounds: number; requests: number }): Promise<Measurement> {
  const bare = await bareWorker();
  const proxy = await proxyWorker(origin);
  const target = `${origin}/v/1080p/a.ts?n=1024`;
  const exact = await linkTo(proxy, target);
  const scoped = await linkTo(proxy, target, {
    scopeDirectories: 2,
    context: { headers: { referer: "https://p.test/" } },
  });
  const bareLink = `${bare.url}/?url=${encodeURIComponent(target)}`;
  for (const url of [exact, scoped, bareLink]) await checkBytes(url, 1024);
  const scopedProxy = await proxyWorker(origin);
  const scopedLink = scoped.replace(proxy.url, scopedProxy.url);
  return await measure("request of 1 KiB", "ms per request", options.rounds, options.requests, [
    { name: "bare fetch", worker: bare, work: () => drain(bareLink, 1024) },
    { name: "proxy", worker: proxy, work: () => drain(exact, 1024) },
    { name: "proxy, sealed headers", worker: scopedProxy, work: () => drain(scopedLink, 1024) },
  ], [["proxy", "bare fetch", 1.5, "≤"], ["proxy, sealed headers", "bare fetch", 1.5, "≤"]]);
}

async function playlists(origin: string, options: { rounds: number; requests: number }): Promise<Measurement[]> {
  const measurements: Measurement[] = [];
  for (const spelling of ["relative", "token", "absolute"] satisfies Spelling[]) {
    const target = `${origin}/v/1080p/m.m3u8?spelling=${spelling}`;
    const proxy = await proxyWorker(origin);
    const variants = [{
      name: "proxy, signed",
      worker: proxy,
      url: await linkTo(proxy, target, { scopeDirectories: 2, context: { episode: EPISODE } }),
    }];
    const others = {
      "untouched": "text",
      "split/map, unsigned": "split_map",
      "HMAC per line": "hmac_per_line",
      "HMAC per line, awaited": "hmac_awaited",
    };
    for (const [name, entry] of Object.entries(others)) {
      const worker = await startWorker({ entry: `${HERE}${entry}_worker.ts` });
      variants.push({ name, worker, url: `${worker.url}/?url=${encodeURIComponent(target)}` });
    }
    const first = new Map<string, number>();
    for (const { name, worker, url } of variants) {
      const cpu = cpuMs(worker.pid);
      await readWhole(url);
      first.set(name, cpuMs(worker.pid) - cpu);
    }
    await checkPlaylists(variants.filter(({ name }) => name !== "untouched").map(({ url }) => url));
    const { rounds, requests } = options;
    const measured = await measure(
      `playlist of ${SEGMENTS} segments, ${spelling}`,
      "ms per playlist",
      rounds,
      requests,
      variants.map(({ name, worker, url }) => ({ name, worker, work: () => readWhole(url) })),
      [["proxy, signed", "split/map, unsigned", 0.65, "≤"], ["HMAC per line", "proxy, signed", 25, "≥"]],
    );
    const beyond = (name: string) =>
      measured.variants[name]!.median_cpu_ms - measured.variants.untouched!.median_cpu_ms;
    measurements.push({
      ...measured,
      variants: Object.fromEntries(
        Object.entries(measured.variants).map(([name, one]) => [name, { first_cpu_ms: first.get(name)!, ...one }]),
      ),
      ratios: measured.ratios.map((one) => ({ ...one, cpu_beyond_untouched: beyond(one.of) / beyond(one.to) })),
    });
    measurements.push(await rewritingAlone(target, { spelling, rounds }));
  }
  return measurements;
}

/** Without fetching and sending: the same text repeatedly in one request. */
async function rewritingAlone(
  target: string,
  { spelling, rounds }: { spelling: Spelling; rounds: number },
): Promise<Measurement> {
  const times = 10;
  const variants = [];
  for (const [name, way] of [["proxy, signed", "proxy"], ["HMAC per line", "hmac"]] as const) {
    const worker = await startWorker({ entry: `${HERE}rewriting_worker.ts` });
    const url = `${worker.url}/?way=${way}&times=${times}&url=${encodeURIComponent(target)}`;
    variants.push({ name, worker, work: () => readWhole(url), units: times });
  }
  const name = `rewriting alone, ${SEGMENTS} segments, ${spelling}`;
  return await measure(name, "ms per playlist", rounds, 1, variants, [["HMAC per line", "proxy, signed", 25, "≥"]]);
}

async function readWhole(url: string): Promise<void> {
  const response = await fetch(url);
  await response.arrayBuffer();
  if (response.status !== 200) throw new Error(`${response.status}`);
}

async function decryption(origin: string, options: { rounds: number; size: number }): Promise<Measurement> {
  const { size } = options;
  const bare = await bareWorker();
  const proxy = await proxyWorker(origin);
  const target = `${origin}/a.mp4?n=${size}`;
  const link = await linkTo(proxy, target, { context: { megaKey: encodeBase64Url(MEGA_KEY) } });
  await checkDecryption(link);
  const bareLink = `${bare.url}/?url=${encodeURIComponent(target)}`;
  return await measure(`decryption of ${size >> 20} MiB`, "ms per body", options.rounds, 1, [
    { name: "bare fetch", worker: bare, work: () => drain(bareLink, size) },
    { name: "proxy, decrypting", worker: proxy, work: () => drain(link, size) },
  ], [["proxy, decrypting", "bare fetch", 2.4, "≤"]]);
}

/** Ranges of an archived file against the local Hub: counts the Worker's own requests. */
async function hubRanges(count: number): Promise<{ ranges: number; resolves: number; cdn: number }> {
  await using bench = await createTestHub({ accounts: ["alice"] });
  const url = archiveLocation({
    username: "alice",
    prefix: "archive",
    malId: 1,
    episode: 1,
    fileKey: "0".repeat(32),
  });
  const access = {
    accessToken: "hf_aliceToken",
    hubUrl: bench.hub.url,
    repo: { type: "dataset" as const, name: url.repo },
  };
  await createRepo({ ...access, private: true });
  await uploadFile({ ...access, file: { path: url.path, content: new Blob([MEBIBYTE]) } });
  bench.hub.calls.length = 0;
  await using worker = await startWorker({
    vars: { STREAM_SIGNING_KEYS: KEY_TEXT, ...bench.env },
    allowedOrigins: [bench.hub.cdnUrl],
  });
  const link = await linkTo(worker, archiveUrl(bench.hub.url, url), { context: { archive: true } });
  for (let i = 0; i < count; i++) {
    const start = (i * 4096) % (MEBIBYTE.length - 4096);
    const response = await fetch(link, { headers: { range: `bytes=${start}-${start + 4095}` } });
    assert.equal(response.status, 206);
    assert.deepEqual(new Uint8Array(await response.arrayBuffer()), MEBIBYTE.slice(start, start + 4096));
  }
  return { ranges: count, resolves: bench.countCalls("resolve"), cdn: bench.countCalls("cdn") };
}

/** Rounds in alternating order. Each round does `repeat` units of work, and the figures are per unit. */
async function measure(
  name: string,
  unit: string,
  rounds: number,
  repeat: number,
  variants: readonly Variant[],
  goals: readonly (readonly [of: string, to: string, limit: number, sign: "≤" | "≥"])[],
): Promise<Measurement> {
  const raw = new Map(variants.map((variant) => [variant.name, [] as Round[]]));
  for (const { work } of variants) for (let i = 0; i < Math.min(repeat, 300); i++) await work();
  for (let round = 0; round < rounds; round++) {
    for (const variant of round % 2 === 0 ? variants : [...variants].reverse()) {
      const cpu = cpuMs(variant.worker.pid);
      const wall = performance.now();
      for (let i = 0; i < repeat; i++) await variant.work();
      const units = repeat * (variant.units ?? 1);
      raw.get(variant.name)!.push({
        cpu_ms: (cpuMs(variant.worker.pid) - cpu) / units,
        wall_ms: (performance.now() - wall) / units,
      });
    }
  }
  for (const worker of new Set(variants.map((variant) => variant.worker))) await worker.stop();
  const medians = Object.fromEntries([...raw].map(([variant, list]) => [variant, {
    median_cpu_ms: median(list.map((one) => one.cpu_ms)),
    median_wall_ms: median(list.map((one) => one.wall_ms)),
    rounds: list,
  }]));
  const ratios = goals.map(([of, to, limit, sign]) => {
    const cpu = medians[of]!.median_cpu_ms / medians[to]!.median_cpu_ms;
    return { of, to, cpu, goal: `${sign} ${limit}`, met: sign === "≤" ? cpu <= limit : cpu >= limit };
  });
  return { name, unit, variants: medians, ratios };
}

/** CPU time of all threads of a process so far, from the scheduler's nanoseconds. */
function cpuMs(pid: number): number {
  let nanoseconds = 0;
  for (const task of Deno.readDirSync(`/proc/${pid}/task`)) {
    nanoseconds += Number(Deno.readTextFileSync(`/proc/${pid}/task/${task.name}/schedstat`).split(" ")[0]);
  }
  return nanoseconds / 1e6;
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

function bareWorker(): Promise<RunningWorker> {
  return startWorker({ entry: `${HERE}bare_worker.ts` });
}

function proxyWorker(origin: string): Promise<RunningWorker> {
  return startWorker({ vars: { STREAM_SIGNING_KEYS: KEY_TEXT }, allowedOrigins: [origin] });
}

function linkTo(worker: RunningWorker, url: string, options: Partial<SignLinkOptions> = {}): Promise<string> {
  return signLink({ proxyBaseUrl: worker.url, url, expiresAt: 4_000_000_000, keys: KEYS, ...options });
}

async function drain(url: string, size: number): Promise<void> {
  const response = await fetch(url);
  let length = 0;
  for await (const chunk of response.body!) length += chunk.length;
  if (response.status !== 200 || length !== size) throw new Error(`${response.status}, ${length} bytes`);
}

async function checkBytes(url: string, size: number): Promise<void> {
  const response = await fetch(url);
  let at = 0;
  for await (const chunk of response.body!) {
    for (const byte of chunk) {
      if (byte !== MEBIBYTE[at++ & (MEBIBYTE.length - 1)]) throw new Error(`byte ${at - 1} is wrong`);
    }
  }
  assert.equal(at, size);
}

async function checkPlaylists(urls: readonly string[]): Promise<void> {
  const targets = await Promise.all(urls.map(async (url) => {
    const text = await (await fetch(url)).text();
    const parsed = unwrap(parsePlaylist(text, new URL(url)));
    assert.ok(parsed.kind === "media" && parsed.segments.length === SEGMENTS);
    return parsed.segments.map((segment) => new URL(segment.url).searchParams.get("url"));
  }));
  for (const one of targets) assert.deepEqual(one, targets[0]);
}

async function checkDecryption(link: string): Promise<void> {
  const aes = Uint8Array.from({ length: 16 }, (_, i) => MEGA_KEY[i]! ^ MEGA_KEY[i + 16]!);
  const counter = new Uint8Array(16);
  counter.set(MEGA_KEY.subarray(16, 24));
  const cipher = createCipheriv("aes-128-ctr", aes, counter);
  const response = await fetch(link);
  let at = 0;
  for await (const chunk of response.body!) {
    const source = Uint8Array.from({ length: chunk.length }, (_, i) => MEBIBYTE[(at + i) & (MEBIBYTE.length - 1)]!);
    assert.ok(cipher.update(source).equals(chunk), `wrong after byte ${at}`);
    at += chunk.length;
  }
}

async function startOriginProcess(): Promise<{ url: string; stop(): Promise<void> }> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", `${HERE}origin.ts`],
    stdout: "piped",
    stdin: "null",
  }).spawn();
  const reader = child.stdout.pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>)
    .getReader();
  const { value } = await reader.read();
  return {
    url: `http://127.0.0.1:${value!.trim()}`,
    async stop() {
      child.kill("SIGTERM");
      await reader.cancel();
      await child.status;
    },
  };
}
