import assert from "node:assert/strict";
import { readClip } from "../../dev/emulators/origin/clip.ts";
import { ranged } from "../../dev/testing/fetch_fixture.ts";
import { KeepstreamError } from "../../core/errors.ts";
import { createEvents } from "../events.ts";
import { RpcError } from "../../core/rpc_error.ts";
import type { MediaReport } from "../../core/media_report.ts";
import type { ArchiveRow, Job } from "../queue/job.ts";
import { Cancelled } from "./stop_reasons.ts";
import { createCircuitBreaker } from "../archive/circuit_breaker.ts";
import { createSemaphore } from "../transfer/semaphore.ts";
import type { StagedFile } from "../transfer/staged_file.ts";
import type { PutOptions, StorageTarget } from "../targets/target.ts";
import { createDiskBudget } from "../work_dir/disk_budget.ts";
import { Progress } from "./progress.ts";
import type { JobRun, JobTools } from "./job_tools.ts";
import { runJob } from "./run_job.ts";
import { startForwardProxy } from "../network/forward_proxy.ts";
import { openJobDir } from "../work_dir/work_dir.ts";

const SHA = "ab".repeat(32);

const job: Job = {
  id: crypto.randomUUID(),
  malId: 1,
  episode: 1,
  provider: "catalogue",
  resolution: "720p",
  leaseToken: crypto.randomUUID(),
  attempt: 1,
  maxAttempts: 8,
  candidates: [{ id: null, embedUrl: null, videoUrl: "https://cdn.test/a.mp4", kind: "mp4", headers: {} }],
};

const REPORT: MediaReport = {
  width: 1280,
  height: 720,
  tracks: [{ type: "video", codec: "h264", language: null, name: null }],
  variant: null,
  converted: [],
  left_out: [{ kind: "subtitles", code: "not_found", detail: "id" }],
  presentation: { form: "hybrid", plain_because: null, duration: 1, segments: 1, tracks: [] },
};

/** A job whose file an earlier run finished, from candidate `source`: only the upload is left. */
async function readyToUpload(source = "of-another-candidate", media: MediaReport | null = REPORT) {
  const workDir = await Deno.makeTempDir();
  await using dir = await openJobDir(workDir, job.id);
  await Deno.writeTextFile(`${dir.path}/final.mp4`, "video");
  await dir.writeState({
    source,
    final: { sizeBytes: 5, sha256: SHA, durationSeconds: 1, ...(media ? { media } : {}) },
  });
  return workDir;
}

function target(name: string, account: number, put: (options: PutOptions) => Promise<void>): StorageTarget {
  const location = { repo: `${name}/archive-1`, path: "1/ep1/k.mp4" };
  return {
    name,
    kind: "hub",
    account,
    locationOf: () => location,
    put: async (file: StagedFile, _location: unknown, options: PutOptions) => {
      await put(options);
      const { sha256, sizeBytes } = file;
      return {
        target: name,
        account,
        ...location,
        commitOid: "c",
        sha256,
        sizeBytes,
        directUrl: "https://h.test/x",
        alreadyThere: false,
      };
    },
  } as unknown as StorageTarget;
}

function tools(workDir: string, more: { targets: StorageTarget[]; queue: object }): JobTools {
  return {
    workDir,
    events: createEvents(),
    disk: createDiskBudget(workDir, { freeBytes: () => Promise.resolve(1e12) }),
    fileSalt: "salt-salt",
    semaphore: createSemaphore(6),
    breaker: createCircuitBreaker({ now: Date.now }),
    policy: {},
    extras: false,
    archive: { form: "auto", segmentSeconds: 6 },
    maxBytes: 1e9,
    hlsConnections: 1,
    mp4Connections: 1,
    ...more,
    queue: { hasJob: () => Promise.resolve(true), ...more.queue },
  } as unknown as JobTools;
}

const run = (): JobRun => ({
  progress: new Progress(() => 0),
  signal: new AbortController().signal,
  beforeCommit: () => Promise.resolve(),
  commitArchive: (write) => write(),
});

Deno.test("runJob: taken down after the first copy → the second is not committed", async () => {
  const workDir = await readyToUpload();
  const recorded = Promise.withResolvers<void>();
  let committed = false;
  const completed: unknown[] = [];
  const asked: unknown[] = [];
  await runJob(
    job,
    run(),
    tools(workDir, {
      queue: {
        report: () => Promise.resolve("uploading"),
        commitArchive: () =>
          Promise.resolve(new Map([["hub:a", "ra"], ["hub:b", "rb"]])).finally(() => recorded.resolve()),
        extendReplicas: (ids: string[], token: string) => (asked.push(ids, token), Promise.resolve(false)), // the row was deleted
        completeReplica: (
          id: string,
          _token: string,
          outcome: { state: string },
        ) => (completed.push([id, outcome.state]), Promise.resolve()),
      },
      targets: [
        target("hub:a", 1, async (options) => await options.beforeCommit?.()),
        target("hub:b", 2, async (options) => {
          await recorded.promise;
          await options.beforeCommit?.();
          committed = true;
        }),
      ],
    }),
  );
  assert.equal(committed, false);
  assert.deepEqual(asked, [["rb"], job.leaseToken]);
  assert.deepEqual(completed, [["rb", "failed"]]);
  await Deno.remove(workDir, { recursive: true });
});

Deno.test("runJob: rights withdrawn during a commit that succeeds late → removed", async () => {
  const workDir = await readyToUpload();
  const committing = Promise.withResolvers<void>();
  const landed = Promise.withResolvers<void>();
  const archives = new Set<string>();
  const removable = (name: string, account: number, put: (options: PutOptions) => Promise<void>): StorageTarget => ({
    ...target(name, account, put),
    remove: ({ path }) => Promise.resolve(path.endsWith(".mp4") && archives.delete(name) ? "removed" : "absent"),
  });
  const ending = runJob(
    job,
    run(),
    tools(workDir, {
      queue: {
        report: () => Promise.resolve("uploading"),
        recordedCopies: () => Promise.resolve([]),
        commitArchive: () =>
          committing.promise.then(() =>
            Promise.reject(
              new RpcError("upsert_video_store", { status: 403, message: "no archiving rights", code: "PT403" }),
            )
          ),
      },
      targets: [
        removable("hub:a", 1, async (options) => {
          await options.beforeCommit?.();
          archives.add("hub:a");
        }),
        removable("hub:b", 2, async (options) => {
          await options.beforeCommit?.();
          committing.resolve();
          await new Promise((_, reject) =>
            options.signal!.addEventListener("abort", () => {
              setTimeout(() => (archives.add("hub:b"), landed.resolve()), 300);
              reject(options.signal!.reason);
            })
          );
        }),
      ],
    }),
  );
  await assert.rejects(ending, RpcError);
  await landed.promise;
  assert.deepEqual([...archives], []);
  await Deno.remove(workDir, { recursive: true });
});

Deno.test("runJob: storage fails → file and report are kept for the next run", async () => {
  const workDir = await readyToUpload();
  let stored = "";
  const committed: MediaReport[] = [];
  const queue = {
    report: () => Promise.resolve("uploading"),
    commitArchive: (_job: Job, { media }: ArchiveRow) => {
      committed.push(media);
      return Promise.resolve(new Map([["hub:a", "ra"]]));
    },
  };
  const broken = target("hub:a", 1, () => Promise.reject(new KeepstreamError("storage_5xx", "away")));
  await assert.rejects(runJob(job, run(), tools(workDir, { queue, targets: [broken] })), { code: "storage_5xx" });
  const works = target("hub:a", 1, () => Promise.resolve(void (stored = "yes")));
  await runJob(job, run(), tools(workDir, { queue, targets: [works] }));
  assert.equal(stored, "yes");
  assert.deepEqual(committed, [REPORT]);
  assert.deepEqual([...Deno.readDirSync(workDir)], [], "nothing is left after the job");
  await Deno.remove(workDir);
});

/** Uploads a clip that an earlier run finished. Returns the endings of what was made beside it, per target, and the events. */
async function besideOnUpload(video: Uint8Array<ArrayBuffer>) {
  const workDir = await Deno.makeTempDir();
  {
    await using dir = await openJobDir(workDir, job.id);
    await Deno.writeFile(`${dir.path}/final.mp4`, video);
    await dir.writeState({ source: "any", final: { sizeBytes: video.length, sha256: SHA, durationSeconds: 12 } });
  }
  const beside: Record<string, string[]> = {};
  let recorded: readonly string[] | undefined;
  const events: string[] = [];
  const put = (name: string) => async (options: PutOptions) => {
    const sidecars = await options.beside!();
    beside[name] = sidecars.map(({ ending, file }) => `${ending} ${file.sha256}`);
    await options.beforeCommit?.();
  };
  const queue = {
    report: () => Promise.resolve("uploading"),
    commitArchive: (_job: Job, { media }: ArchiveRow) => {
      recorded = media.sidecars;
      return Promise.resolve(new Map([["hub:a", "ra"], ["hub:b", "rb"]]));
    },
    extendReplicas: () => Promise.resolve(true),
    completeReplica: () => Promise.resolve(),
    describeSource: () => Promise.resolve({ rights: "own work", title: null }),
  };
  const targets = [target("hub:a", 1, put("hub:a")), target("hub:b", 2, put("hub:b"))];
  const parts = { ...tools(workDir, { queue, targets }), extras: true };
  parts.events.on((event) => void events.push(event.event));
  await runJob(job, run(), parts);
  await Deno.remove(workDir, { recursive: true });
  return { beside, events, recorded };
}

Deno.test("runJob: uploading → pictures and manifest, made once for all", async () => {
  const { beside, events, recorded } = await besideOnUpload((await readClip()).mp4);
  const endings = beside["hub:a"]!.map((each) => each.split(" ")[0]);
  assert.deepEqual(endings, [".poster.jpg", ".sprite.jpg", ".sprite.vtt", ".manifest"]);
  assert.deepEqual(recorded, endings, "the API links to them");
  assert.deepEqual(beside["hub:b"], beside["hub:a"]);
  assert.ok(!events.includes("extras:failed"));
});

Deno.test("runJob: no picture can be made → reported, archived without", async () => {
  const { beside, events } = await besideOnUpload(new TextEncoder().encode("not a video"));
  for (const sidecars of Object.values(beside)) assert.match(sidecars.join(), /^\.manifest [0-9a-f]+$/);
  assert.deepEqual(events.filter((event) => event === "extras:failed"), ["extras:failed"]);
  assert.ok(events.includes("job:finished"));
});

/** Runs a job whose source is served by `host`. Returns the names of the files left on disk. */
async function leftAfter(host: (request: Request) => Response, options: { cancel?: boolean } = {}) {
  const workDir = await Deno.makeTempDir();
  const abort = new AbortController();
  await using server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, (request) => {
    if (options.cancel && request.headers.get("range") !== "bytes=0-16383") abort.abort(new Cancelled());
    return host(request);
  });
  await using proxy = startForwardProxy();
  const url = `http://127.0.0.1:${server.addr.port}`;
  const candidates = [{ ...job.candidates[0]!, videoUrl: `${url}/a.mp4` }];
  const parts = { ...tools(workDir, { queue: {}, targets: [] }), proxy, policy: { allowedOrigins: [url] } };
  const error = await runJob({ ...job, candidates }, { ...run(), signal: abort.signal }, parts).then(
    () => null,
    (error) => error as Error & { code?: string },
  );
  const dir = `${workDir}/job-${job.id}`;
  const left = await Array.fromAsync(Deno.readDir(dir)).then((all) => all.map((entry) => entry.name), () => null);
  await Deno.remove(workDir, { recursive: true });
  return { code: error?.code ?? error?.name, left };
}

Deno.test("runJob: refused → files deleted; retryable → kept; cancelled → deleted", async () => {
  const clip = await readClip();
  const page = () => new Response("<!doctype html><title>no video</title>");
  assert.deepEqual(await leftAfter(page), { code: "unsupported", left: null });
  const broken = (request: Request) =>
    request.headers.get("range") === "bytes=0-16383" ? ranged(request, clip.mp4) : new Response(null, { status: 404 });
  const kept = await leftAfter(broken);
  assert.equal(kept.code, "source_expired");
  assert.ok(kept.left?.includes("state.json"), String(kept.left));
  const cancelled = await leftAfter((request) => ranged(request, clip.mp4), { cancel: true });
  assert.equal(cancelled.left, null, "a cancelled job is not resumed");
});
