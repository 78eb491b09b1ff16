/**
 * Costs of a response: warm through the real gateway and Postgres, against a bare route with one call; cold with ten servers on hosts with
 * 100 ms latency, against the longest chain of dependent requests; parsing; adversarial scripts and pages.
 * `deno task bench:streaming` writes bench/results/streaming.json and streaming.svg.
 */
import { commandLine } from "../../cli/command_line.ts";
import { startFunction } from "../../dev/testing/function_process.ts";
import { createFunctionFixture, type FunctionFixture } from "../../dev/testing/function_fixture.ts";
import { startGuard } from "../../dev/process/guard.ts";
import { startPostgres } from "../../dev/postgres/postgres.ts";
import { HOSTILE_PAGES } from "../../dev/emulators/sites/hostile_pages.ts";
import { adversarialPages, expansionBomb } from "../../dev/emulators/sites/packed_page.ts";
import { base64, episodeListPage, mirrorPage } from "../../dev/emulators/sites/select_base64_site.ts";
import { serveSite } from "../../dev/emulators/sites/serve.ts";
import { htmlResponse, pages, type Site } from "../../dev/emulators/sites/sites.ts";
import { CLUSTER_VARIABLE } from "../../dev/testing/test_cluster.ts";
import { parseHtml } from "../../sources/page/html.ts";
import { createParseBudget } from "../../sources/page/parse_budget.ts";
import { readPlayerPage } from "../../sources/resolvers/player_page.ts";
import { drawPlot } from "./plot.ts";

commandLine({ usage: "usage: deno task bench:streaming" });

const ROUNDS = 5;
const WARM_REQUESTS = 400;
const CLIENTS = 8;
const COLD_EPISODES = 7;
const LATENCY_MS = 100;
const SERVERS = 10;
const HOSTILE_KILOBYTES = [128, 256, 512];
const RESULTS = new URL("../results/", import.meta.url);

const dataDir = await Deno.makeTempDir({ prefix: "keepstream-bench-" });
await Deno.chmod(dataDir, 0o755);
const guard = startGuard();
const postgres = await startPostgres({ dataDir, port: 0, guard, durable: false });
Deno.env.set(CLUSTER_VARIABLE, postgres.adminUrl);
const fixture = await createFunctionFixture();

const report = {
  at: new Date().toISOString(),
  machine: await machine(),
  warm: await measureWarm(fixture),
  cold: await measureCold(fixture),
  parse: await measureParse(),
  adversarial: measureAdversarial(),
  hostilePages: await measureHostilePages(),
};
await fixture[Symbol.asyncDispose]();
await postgres.stop();
await guard.close();
await Deno.remove(dataDir, { recursive: true });

await Deno.mkdir(RESULTS, { recursive: true });
await Deno.writeTextFile(new URL("streaming.json", RESULTS), JSON.stringify(report, null, 2) + "\n");
await Deno.writeTextFile(new URL("streaming.svg", RESULTS), drawPlot(report));
console.log(JSON.stringify({ ...report, warm: { ...report.warm, rounds: undefined } }, null, 2));
Deno.exit(0);

export interface WarmRound {
  readonly variant: string;
  readonly requestsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** Each variant in a separate process, in alternating order. */
async function measureWarm(fixture: FunctionFixture) {
  const servers = Array.from({ length: SERVERS }, (_, index) => ({
    label: `Server ${index}`,
    embed_url: `https://player.test/e/${index}`,
    video_url: `https://cdn.test/${index}/master.m3u8`,
    kind: "hls",
    resolution: `${index + 1}00p`,
    headers: { referer: "https://player.test/" },
  }));
  await fixture.database
    .sql`select public.apply_providers('[{"name":"warm","recipe":"select-base64","base_url":"https://site.test","rights":"bench"}]', false)`;
  await fixture.database.sql`select public.save_sources(1, 1, ${
    JSON.stringify({ warm: { state: "ok", servers } })
  }::text::jsonb)`;
  await fixture.database.admin`update keepstream.settings set client_requests_per_minute = 60000 where true`;

  const variants = { streaming: "functions/streaming/index.ts", bare: "bench/streaming/bare.ts" } as const;
  const rounds: WarmRound[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const order = Object.keys(variants) as (keyof typeof variants)[];
    for (const variant of round % 2 === 0 ? order : order.reverse()) {
      await using process = await start(fixture, {
        entry: variants[variant],
        supabaseUrl: fixture.gatewayUrl,
        env: {},
      });
      rounds.push({ variant, ...await load(`${process.url}/streaming/1/1`, variant) });
    }
  }
  await using counted = await start(fixture, {
    entry: variants.streaming,
    supabaseUrl: fixture.env.SUPABASE_URL!,
    env: {},
  });
  fixture.calls.length = 0;
  for (let turn = 0; turn < 20; turn++) await (await fetch(`${counted.url}/streaming/1/1`)).body?.cancel();
  const of = (variant: string) => summary(rounds.filter((one) => one.variant === variant));
  return {
    clients: CLIENTS,
    requests: WARM_REQUESTS,
    roundTripsPerRequest: fixture.calls.length / 20,
    streaming: of("streaming"),
    bare: of("bare"),
    rounds,
  };
}

async function load(url: string, variant: string) {
  const check = await (await fetch(url)).json();
  const right = variant === "bare"
    ? check.source_lists.warm.servers.length
    : check.data.warm.filter((one: { stream: string }) => one.stream).length;
  if (right !== SERVERS) {
    throw new Error(`${variant} returned a wrong response: ${JSON.stringify(check).slice(0, 300)}`);
  }
  await spread(WARM_REQUESTS, url); // warm up compilers and connections
  const startedAt = performance.now();
  const times = await spread(WARM_REQUESTS, url);
  const seconds = (performance.now() - startedAt) / 1000;
  return {
    requestsPerSecond: round1(times.length / seconds),
    p50Ms: quantile(times, 0.5),
    p99Ms: quantile(times, 0.99),
  };
}

async function spread(requests: number, url: string): Promise<number[]> {
  const times: number[] = [];
  await Promise.all(Array.from({ length: CLIENTS }, async () => {
    for (let turn = 0; turn < requests / CLIENTS; turn++) {
      const startedAt = performance.now();
      const response = await fetch(url);
      await response.arrayBuffer();
      if (response.status !== 200) throw new Error(`status ${response.status}`);
      times.push(performance.now() - startedAt);
    }
  }));
  return times;
}

/** Ten servers, each on its own host; every request takes 100 ms. */
async function measureCold(fixture: FunctionFixture) {
  const hosts = Array.from(
    { length: SERVERS },
    (_, index) =>
      serveSite(() => htmlResponse(`<script>p.setup({file:"https://cdn.test/${index}.mp4"})</script>`), {
        latencyMs: LATENCY_MS,
      }),
  );
  const options = hosts.map((host, index) => ({
    label: `${index + 1}00p`,
    html: `<iframe src="${host.url}/e"></iframe>`,
  }));
  const select: Site = pages({
    "/anime/title/": episodeListPage([{ label: "Episode 1", href: "/episode-1/" }]),
    "/episode-1/": mirrorPage(options.map(({ label, html }) => ({ label, value: base64(html) }))),
  });
  const ajax: Site = pages({
    "/anime/title/":
      `<div class="lstepsiode listeps"><ul><li><div class="epsright"><span class="eps"><a>1</a></span></div>` +
      `<div class="epsleft"><span class="lchx"><a href="/episode-1/">1</a></span></div></li></ul></div>`,
    "/episode-1/": options.map(({ label }, index) =>
      `<div class="east_player_option" data-post="1" data-nume="${index}" data-type="x">${label}</div>`
    ).join(""),
    "/wp-admin/admin-ajax.php": async (request) =>
      htmlResponse(options[Number((await request.formData()).get("nume"))]!.html),
  });
  const sites = {
    "select-base64": serveSite(select, { latencyMs: LATENCY_MS }),
    "admin-ajax": serveSite(ajax, { latencyMs: LATENCY_MS }),
  };
  const cases = [
    { name: "select-base64", recipe: "select-base64", config: { robots: "ignore" }, chain: 3 },
    { name: "select-base64, robots.txt read first", recipe: "select-base64", config: {}, chain: 4 },
    {
      name: "admin-ajax, ten at a time",
      recipe: "admin-ajax",
      config: { robots: "ignore", requests_per_host: 10 },
      chain: 4,
    },
    { name: "admin-ajax, four at a time (default)", recipe: "admin-ajax", config: { robots: "ignore" }, chain: 4 },
  ] as const;
  const results = [];
  for (const { name, recipe, config, chain } of cases) {
    const times: number[] = [];
    for (let malId = 100; malId < 100 + COLD_EPISODES; malId++) {
      const entry = [{ name: "cold", recipe, base_url: sites[recipe].url, rights: "bench", config }];
      await fixture.database.sql`select public.apply_providers(${JSON.stringify(entry)}::text::jsonb, false)`;
      await fixture.database
        .sql`select public.save_title_mapping(${malId}, 'cold', '{"page":"/anime/title/"}', null, true)`;
      await fixture.database.admin`truncate keepstream.source_lists`;
      const origins = [...hosts, ...Object.values(sites)].map(({ url }) => url).join(",");
      // A new process per response, so that nothing is cached; its first request, for another title, only warms the compiler.
      await using process = await start(fixture, {
        entry: "functions/streaming/index.ts",
        supabaseUrl: fixture.gatewayUrl,
        env: { DEV_ALLOWED_ORIGINS: origins },
      });
      await (await fetch(`${process.url}/streaming/99/1`)).body?.cancel();
      const startedAt = performance.now();
      const response = await (await fetch(`${process.url}/streaming/${malId}/1`)).json();
      times.push(performance.now() - startedAt);
      const playable = response.data.cold?.filter((one: { stream: string | null }) => one.stream !== null).length;
      if (playable !== SERVERS) throw new Error(`${name}: ${JSON.stringify(response).slice(0, 400)}`);
    }
    results.push({
      name,
      chain,
      theoreticalMs: chain * LATENCY_MS,
      medianMs: quantile(times, 0.5),
      rounds: times.map(round1),
    });
  }
  await Promise.all([...hosts, ...Object.values(sites)].map((site) => site[Symbol.asyncDispose]()));
  return results;
}

async function measureParse() {
  const page = episodeListPage(
    Array.from({ length: 2_200 }, (_, index) => ({ label: `Some Title Episode ${index}`, href: `/e-${index}/` })),
  );
  const times: number[] = [];
  for (let turn = 0; turn < 40; turn++) {
    const startedAt = performance.now();
    const found = [...(await parseHtml(page)).querySelectorAll("#daftarepisode li span.lchx a")].length;
    if (turn >= 5) times.push(performance.now() - startedAt);
    if (found !== 2_200) throw new Error(`found ${found}`);
  }
  return { bytes: page.length, medianMs: quantile(times, 0.5), p99Ms: quantile(times, 0.99) };
}

function measureAdversarial() {
  const inputs = [...adversarialPages(40_000), expansionBomb(20_000, 10_000)];
  const slowest = inputs.map((html) =>
    quantile(timesOf(15, () => void readPlayerPage(playerPage(html), createParseBudget())), 0.5)
  );
  return { bytes: 40_000, inputs: inputs.length, slowestMedianMs: Math.max(...slowest), goalMs: 50 };
}

function playerPage(script: string) {
  return { url: "https://a.test/", html: `<script>${script}</script>` };
}

/** What is parsed grows with the page, and the rest is refused before: both must stay far below the edge's 2 s of CPU. */
async function measureHostilePages() {
  const rows = [];
  for (const [name, make] of Object.entries(HOSTILE_PAGES)) {
    const milliseconds: number[] = [];
    let outcome = "parsed";
    for (const kilobytes of HOSTILE_KILOBYTES) {
      const html = make(kilobytes * 1024).slice(0, kilobytes * 1024);
      const times: number[] = [];
      for (let turn = 0; turn < 3; turn++) {
        const startedAt = performance.now();
        outcome = await parseHtml(html).then(
          (document) => [...document.querySelectorAll("select.mirror option[value]")].length >= 0 ? "parsed" : "",
          (error) => error.reason,
        );
        times.push(performance.now() - startedAt);
      }
      milliseconds.push(quantile(times, 0.5));
    }
    rows.push({ name, outcome, milliseconds });
  }
  return { kilobytes: HOSTILE_KILOBYTES, slowestMs: Math.max(...rows.flatMap((row) => row.milliseconds)), rows };
}

function timesOf(turns: number, run: () => void): number[] {
  for (let turn = 0; turn < 5; turn++) run();
  return Array.from({ length: turns }, () => {
    const startedAt = performance.now();
    run();
    return performance.now() - startedAt;
  });
}

interface StartOptions {
  readonly entry: string;
  readonly supabaseUrl: string;
  readonly env: Readonly<Record<string, string>>;
}

function start(fixture: FunctionFixture, { entry, supabaseUrl, env }: StartOptions) {
  return startFunction({
    entry,
    config: "functions/streaming/deno.json",
    env: { ...fixture.env, SUPABASE_URL: supabaseUrl, ...env },
  });
}

function summary(rounds: readonly WarmRound[]) {
  const median = (pick: (round: WarmRound) => number) => quantile(rounds.map(pick), 0.5);
  return {
    requestsPerSecond: median((one) => one.requestsPerSecond),
    p50Ms: median((one) => one.p50Ms),
    p99Ms: median((one) => one.p99Ms),
  };
}

function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return round1(sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))]!);
}

function round1(value: number): number {
  return Math.round(value * 10) / 10;
}

async function machine() {
  const cpu = /model name\s*: (.*)/.exec(await Deno.readTextFile("/proc/cpuinfo").catch(() => ""))?.[1] ?? "unknown";
  const load = Deno.loadavg()[0];
  return { cpu, cores: navigator.hardwareConcurrency, deno: Deno.version.deno, loadBefore: load };
}
