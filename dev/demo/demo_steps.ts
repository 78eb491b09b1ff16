/**
 * The steps of the demo against a running system: ask, play, archive, ask again, play the archive, seek. Each step throws if its check
 * fails. Example: `const response = await askEpisode(system, { malId: 55825, episode: 1 })`.
 */
import { downloadFile } from "@huggingface/hub";
import { createClient } from "@supabase/supabase-js";
import { createHash } from "node:crypto";
import type postgres from "postgres";
import { countPackets, decodeFrameAt, download } from "./playback.ts";

const POLL_MS = 150;

export interface DemoSystem {
  readonly gatewayUrl: string;
  readonly hubUrl: string;
  readonly proxyUrl: string;
  readonly publishableKey: string;
  readonly secretKey: string;
  /** The storage accounts that the runner is configured with. */
  readonly accounts: readonly { name: string; token: string }[];
}

export interface EpisodeId {
  readonly malId: number;
  readonly episode: number;
}

/** A server of the public response, with the fields that the demo uses. */
export interface ListedServer {
  readonly provider: string;
  readonly url: string;
  readonly url_resolved: string | null;
  readonly resolution: string | null;
  readonly height: number | null;
  readonly media: { readonly tracks: readonly { readonly type: string; readonly language: string | null }[] } | null;
  readonly stream: string | null;
  readonly archived: boolean;
}

export interface EpisodeResponse {
  readonly tookMs: number;
  readonly servers: readonly (ListedServer & { readonly source: string })[];
}

export interface Job {
  readonly provider: string;
  readonly resolution: string | null;
  readonly status: string;
  readonly error: string | null;
  readonly progress: { readonly phase?: string; readonly bytes_done?: number; readonly bytes_total?: number | null };
  readonly createdAt: Date;
  /** From the transaction that enqueued the job to its claim by a runner. */
  readonly claimedAfterMs: number | null;
}

export interface ArchivedFile {
  readonly provider: string;
  readonly resolution: string | null;
  readonly sha256: string;
  readonly bytes: number;
  readonly durationSeconds: number;
  readonly copies: readonly { readonly target: string; readonly repo: string; readonly path: string }[];
}

/** Adds a new episode of the demo title to the catalogue, with the sources of its first episode. */
export async function addEpisode(system: DemoSystem, malId: number): Promise<EpisodeId> {
  const client = createClient(system.gatewayUrl, system.secretKey, { auth: { persistSession: false } });
  const first = await client.rpc("read_episode", { mal_id: malId, episode: 1 });
  if (first.error !== null) throw new Error(`the catalogue cannot be read: ${first.error.message}`);
  const catalogue =
    (first.data as { catalogue: { title: string; sources: unknown[]; rights: string } | null }).catalogue;
  if (catalogue === null) {
    throw new Error(`title ${malId} is not in the catalogue: start the system with \`deno task dev\``);
  }
  const episode = 2 + crypto.getRandomValues(new Uint32Array(1))[0]! % 99_999;
  const entries = [{
    mal_id: malId,
    episode,
    title: catalogue.title,
    sources: catalogue.sources,
    rights: catalogue.rights,
  }];
  const added = await client.rpc("import_catalogue", { entries, dry_run: false });
  if (added.error !== null) throw new Error(`the episode cannot be added: ${added.error.message}`);
  return { malId, episode };
}

/** Asks the public API for the episode, as a front end with the publishable key does. */
export async function askEpisode(system: DemoSystem, id: EpisodeId, signal: AbortSignal): Promise<EpisodeResponse> {
  const startedAt = performance.now();
  const response = await fetch(`${system.gatewayUrl}/functions/v1/streaming/${id.malId}/${id.episode}`, {
    headers: { apikey: system.publishableKey },
    signal,
  });
  const body = await response.json();
  const tookMs = performance.now() - startedAt;
  if (!response.ok || body.success !== true) {
    throw new Error(`the episode request failed with ${response.status}: ${body.error ?? body.title}`);
  }
  const servers = Object.entries(body.data as Record<string, ListedServer[] | null>)
    .flatMap(([source, list]) => (list ?? []).map((server) => ({ ...server, source })));
  if (servers.length === 0) throw new Error("the response has no servers");
  for (const server of servers) {
    if (server.stream === null) throw new Error(`${server.provider} has no stream link`);
    if (!server.stream.startsWith(`${system.proxyUrl}/proxy?`)) {
      throw new Error(`${server.provider} does not play through the proxy`);
    }
  }
  return { tookMs, servers };
}

/** Plays every server of a response through the proxy to the end. */
export async function playAll(
  response: EpisodeResponse,
  signal: AbortSignal,
): Promise<{ provider: string; video: number; audio: number }[]> {
  const played = [];
  for (const server of response.servers) {
    const packets = await countPackets(server.stream!, signal);
    if (packets.video === 0 || packets.audio === 0) {
      throw new Error(
        `${server.provider}: ${packets.video} video and ${packets.audio} audio packets arrived through the proxy`,
      );
    }
    played.push({ provider: server.provider, ...packets });
  }
  return played;
}

/** The current jobs of an episode. */
export async function readJobs(sql: postgres.Sql, id: EpisodeId): Promise<Job[]> {
  return await sql<Job[]>`
    select provider, resolution, status, error_message as error, coalesce(progress, '{}') as progress,
      created_at as "createdAt",
      (extract(epoch from started_at - created_at) * 1000)::float8 as "claimedAfterMs"
    from public.video_queue where mal_id = ${id.malId} and episode = ${id.episode} order by provider, resolution`;
}

/** Waits until every job of the episode is ready. Calls `onJobs` with their states in between. */
export async function waitForArchive(
  sql: postgres.Sql,
  id: EpisodeId,
  options: { signal: AbortSignal; onJobs?: (jobs: readonly Job[]) => void },
): Promise<Job[]> {
  while (true) {
    const jobs = await readJobs(sql, id);
    options.onJobs?.(jobs);
    if (jobs.length > 0 && jobs.every((job) => job.status === "ready")) return jobs;
    await pause(options.signal);
  }
}

/**
 * Checks that pg_net delivered a notification for these jobs and the runner accepted it.
 * @returns milliseconds from the enqueueing transaction to the first claim.
 */
export async function checkNotification(sql: postgres.Sql, jobs: readonly Job[]): Promise<number> {
  const since = new Date(Math.min(...jobs.map((job) => job.createdAt.getTime())));
  const responses = await sql<{ status: number | null; error: string | null }[]>`
    select status_code as status, error_msg as error from net._http_response where created >= ${since}`;
  if (!responses.some(({ status }) => status !== null && status >= 200 && status < 300)) {
    const got = responses.map(({ status, error }) => status ?? error).join(", ") || "nothing";
    throw new Error(`no notification reached the runner after the commit: pg_net received ${got}`);
  }
  return Math.min(...jobs.map((job) => job.claimedAfterMs ?? Infinity));
}

/** The episode's archived files, once each has `copies` verified ones; the first one makes it ready. */
export async function waitForCopies(
  sql: postgres.Sql,
  id: EpisodeId,
  options: { copies: number; signal: AbortSignal },
): Promise<ArchivedFile[]> {
  while (true) {
    const archive = await readArchive(sql, id);
    if (archive.length > 0 && archive.every((file) => file.copies.length >= options.copies)) return archive;
    await pause(options.signal);
  }
}

async function readArchive(sql: postgres.Sql, id: EpisodeId): Promise<ArchivedFile[]> {
  return await sql<ArchivedFile[]>`
    select s.provider, s.resolution, s.sha256, s.size_bytes::float8 as bytes, s.duration_seconds::float8 as "durationSeconds",
      jsonb_agg(jsonb_build_object('target', r.target, 'repo', r.repo, 'path', r.path) order by r.target) as copies
    from public.video_store s join public.video_replicas r on r.store_id = s.id and r.state = 'verified'
    where s.mal_id = ${id.malId} and s.episode = ${id.episode} group by s.id order by s.provider, s.resolution`;
}

/** Reads every copy back from its account with the Hub's client and compares it with the recorded hash. */
export async function compareCopies(system: DemoSystem, archive: readonly ArchivedFile[]): Promise<number> {
  let compared = 0;
  for (const stored of archive) {
    for (const account of system.accounts) {
      const copy = stored.copies.find((one) => one.repo.startsWith(`${account.name}/`));
      if (copy === undefined) throw new Error(`account ${account.name} has no verified copy of ${stored.provider}`);
      const file = await downloadFile({
        repo: { type: "dataset", name: copy.repo },
        path: copy.path,
        accessToken: account.token,
        hubUrl: system.hubUrl,
      });
      if (file === null) throw new Error(`${copy.repo} does not have ${copy.path}`);
      const sha256 = createHash("sha256").update(new Uint8Array(await file.arrayBuffer())).digest("hex");
      if (sha256 !== stored.sha256) throw new Error(`the copy in ${copy.repo} differs from what was archived`);
      compared++;
    }
  }
  return compared;
}

/** Checks that every server plays from the archive, and that the bytes through the proxy are the archived file. */
export async function compareThroughProxy(
  system: DemoSystem,
  options: { response: EpisodeResponse; archive: readonly ArchivedFile[]; signal: AbortSignal },
): Promise<{ provider: string; bytes: number; sha256: string }[]> {
  const compared = [];
  for (const server of options.response.servers) {
    const stored = archivedOf(server, options.archive);
    const target = new URL(server.stream!).searchParams.get("url")!;
    if (!server.archived || !target.startsWith(system.hubUrl)) {
      throw new Error(`${server.provider} does not play from the archive`);
    }
    const got = await download(server.stream!, { signal: options.signal });
    if (got.status !== 200 || got.sha256 !== stored.sha256 || got.bytes !== stored.bytes) {
      throw new Error(
        `${server.provider}: ${got.bytes} bytes with status ${got.status} differ from the archived ${stored.bytes}`,
      );
    }
    compared.push({ provider: server.provider, bytes: got.bytes, sha256: got.sha256 });
  }
  return compared;
}

/** Seeks in every archived server: a frame from its middle decodes, and a range at its end has the right length and position. */
export async function seekAll(
  options: { response: EpisodeResponse; archive: readonly ArchivedFile[]; signal: AbortSignal },
): Promise<number> {
  let seeks = 0;
  for (const server of options.response.servers) {
    const stored = archivedOf(server, options.archive);
    await decodeFrameAt(server.stream!, stored.durationSeconds / 2, options.signal);
    const from = stored.bytes - 1000;
    const tail = await download(server.stream!, { range: `bytes=${from}-`, signal: options.signal });
    const expected = `bytes ${from}-${stored.bytes - 1}/${stored.bytes}`;
    if (tail.status !== 206 || tail.bytes !== 1000 || tail.contentRange !== expected) {
      throw new Error(
        `${server.provider}: a range of the last 1000 bytes returned ${tail.status} ${tail.contentRange}`,
      );
    }
    seeks += 2;
  }
  return seeks;
}

async function pause(signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  await new Promise((resolve) => setTimeout(resolve, POLL_MS));
}

function archivedOf(server: ListedServer & { source: string }, archive: readonly ArchivedFile[]): ArchivedFile {
  const stored = archive.find((one) => one.provider === server.source && one.resolution === server.resolution);
  if (stored === undefined) {
    throw new Error(`the store has no ${server.source} ${server.resolution ?? "without resolution"}`);
  }
  return stored;
}
