/**
 * Bytes read from a source for five copies: real jobs through a real runner, whose source is reached through a counting relay.
 * `deno run -A bench/storage/source.ts` prints one JSON line per round; `deno task bench:storage` runs it.
 */
import { startGuard } from "../../dev/process/guard.ts";
import { startPostgres } from "../../dev/postgres/postgres.ts";
import { type RunnerFixture, type RunnerProcess, startRunnerFixture } from "../../dev/testing/runner_fixture.ts";
import { CLUSTER_VARIABLE } from "../../dev/testing/test_cluster.ts";
import { makeBenchMedia, MEDIA_DIR } from "../download/media.ts";

const ACCOUNTS = 5;

export interface SourceRound {
  readonly source: string;
  /** Of everything the source consists of: the file, or playlist and segments. */
  readonly sourceBytes: number;
  /** Bytes sent by the source's host, response heads included. */
  readonly fetchedBytes: number;
  readonly archiveBytes: number;
  readonly uploadedBytes: number;
  /** Bytes returned by read calls of the runner and its children: sockets, probing, rewriting, hashing, sending. */
  readonly readBytes: number;
}

const SOURCES = [
  { name: "mp4", path: "/video.mp4", kind: "mp4" },
  { name: "HLS, MPEG-TS", path: "/ts/v.m3u8", kind: "hls" },
  { name: "HLS, fMP4", path: "/fmp4/v.m3u8", kind: "hls" },
] as const;

await makeBenchMedia();
const dir = await Deno.makeTempDir({ prefix: "keepstream-bench-source-" });
await Deno.chmod(dir, 0o755);
const guard = startGuard();
const postgres = await startPostgres({ dataDir: dir, port: 0, guard, durable: false });
Deno.env.set(CLUSTER_VARIABLE, postgres.adminUrl);
const host = await startHost();
const relay = startRelay(host.port);
try {
  const origin = `http://127.0.0.1:${relay.port}`;
  const env = { DEV_ALLOWED_ORIGINS: origin, RUNNER_LEASE_SECONDS: "10", RUNNER_EXTRAS: "off" };
  await using fixture = await startRunnerFixture({ accounts: ACCOUNTS, env });
  for (const [index, source] of SOURCES.entries()) {
    const runner = fixture.spawn(`whole-${index}`);
    report(source.name, await archive(fixture, { source, malId: index + 1, origin, runner, killed: false }));
    runner.child.kill("SIGTERM");
    await runner.ended;
  }
  const runner = fixture.spawn("killed");
  const source = SOURCES[0];
  report(
    `${source.name}, kill -9 in the upload`,
    await archive(fixture, { source, malId: 9, origin, runner, killed: true }),
  );
} finally {
  relay.stop();
  host.stop();
  await postgres.stop();
  await guard.close();
  await Deno.remove(dir, { recursive: true });
}
Deno.exit(0);

async function archive(
  fixture: RunnerFixture,
  job: { source: (typeof SOURCES)[number]; malId: number; origin: string; runner: RunnerProcess; killed: boolean },
): Promise<Omit<SourceRound, "source">> {
  const fetchedBefore = relay.bytes();
  const uploadedBefore = uploaded(fixture);
  const id = await fixture.enqueue({
    mal_id: job.malId,
    episode: 1,
    provider: "catalogue",
    video_url: `${job.origin}${job.source.path}`,
    kind: job.source.kind,
    resolution: "360p",
  });
  let { runner } = job;
  if (job.killed) {
    while (uploaded(fixture) === uploadedBefore) await new Promise((next) => setTimeout(next, 20));
    runner.child.kill("SIGKILL");
    await runner.ended;
    // The same as the expiry of the lease.
    await fixture.database.sql`
      update public.video_queue set lease_expires_at = now() - interval '1 second' where lease_token is not null`;
    await fixture.database.sql`delete from keepstream.resource_leases`;
    await fixture.database.sql`select public.sweep()`;
    await fixture.database.sql`update public.video_queue set run_at = now() where status = 'failed'`;
    runner = fixture.spawn("next");
  }
  await runner.saw("job:finished");
  const io = await Deno.readTextFile(`/proc/${runner.child.pid}/io`);
  const [row] = await fixture.database.sql`
    select s.size_bytes, (select count(*)::int from public.video_replicas r where r.store_id = s.id and r.state = 'verified') as copies
    from public.video_store s where s.queue_id = ${id}`;
  if (row!.copies !== ACCOUNTS) throw new Error(`${row!.copies} copies`);
  return {
    sourceBytes: await sizeOf(job.source.path),
    fetchedBytes: relay.bytes() - fetchedBefore,
    archiveBytes: Number(row!.size_bytes),
    uploadedBytes: uploaded(fixture) - uploadedBefore,
    readBytes: Number(/rchar: (\d+)/.exec(io)?.[1]),
  };
}

function report(source: string, round: Omit<SourceRound, "source">): void {
  console.log(JSON.stringify({ source, ...round }));
}

function uploaded(fixture: RunnerFixture): number {
  return fixture.hub.calls.filter((call) => call.at.startsWith("upload_")).reduce((sum, call) => sum + call.bytes, 0);
}

async function sizeOf(path: string): Promise<number> {
  if (path.endsWith(".mp4")) return (await Deno.stat(`${MEDIA_DIR}${path}`)).size;
  const folder = `${MEDIA_DIR}${path.slice(0, path.lastIndexOf("/"))}`;
  let bytes = 0;
  for await (const entry of Deno.readDir(folder)) bytes += (await Deno.stat(`${folder}/${entry.name}`)).size;
  return bytes;
}

async function startHost() {
  const program = new URL("../download/host.ts", import.meta.url).pathname;
  const args = ["run", "-A", "--no-check", program, "0", "0", "0"];
  const child = new Deno.Command(Deno.execPath(), { args, stdout: "piped" }).spawn();
  const output = child.stdout.getReader();
  const port = Number(new TextDecoder().decode((await output.read()).value));
  return {
    port,
    stop() {
      child.kill("SIGTERM");
      output.cancel();
    },
  };
}

/** Counts the bytes that the host sends, to any client. */
function startRelay(hostPort: number) {
  let bytes = 0;
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  (async () => {
    for await (const client of listener) {
      const server = await Deno.connect({ hostname: "127.0.0.1", port: hostPort });
      const counting = new TransformStream<Uint8Array, Uint8Array>({
        transform(chunk, controller) {
          bytes += chunk.byteLength;
          controller.enqueue(chunk);
        },
      });
      client.readable.pipeTo(server.writable).catch(() => {}); // either side may hang up
      server.readable.pipeThrough(counting).pipeTo(client.writable).catch(() => {});
    }
  })();
  return { port: listener.addr.port, bytes: () => bytes, stop: () => listener.close() };
}
