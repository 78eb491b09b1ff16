// Hostile stores, rows and journals: their contents are checked before they have any effect.

import assert from "node:assert/strict";
import { type Fault, faultInjectingFetch } from "../../dev/testing/fault_injecting_fetch.ts";
import { createTestHub } from "../../dev/emulators/hub/test_hub.ts";
import { createFolderTarget } from "../targets/folder/folder_target.ts";
import { storageErrorFrom } from "../../dev/testing/hub_target_fixture.ts";
import { createHubTarget } from "../targets/hub/hub_target.ts";
import { replicate } from "./replicate.ts";
import { sleep } from "../../core/sleep.ts";
import { requestedSeconds } from "../transfer/retry.ts";
import { createS3Target } from "../targets/s3/s3_target.ts";
import { createSemaphore } from "../transfer/semaphore.ts";
import { stageFile } from "../transfer/staged_file.ts";
import type { StorageTarget } from "../targets/target.ts";
import { storageTargetsFromEnv } from "../storage_targets.ts";

const ARCHIVE = { malId: 55825, episode: 1, fileKey: "0123456789abcdef0123456789abcdef" };
const PART = 1 << 18;
const SIZE = 4 * PART + 1000;

async function createHarness(bend: Fault, options: { endpoint?: (url: string) => string } = {}) {
  const test = await createTestHub({ accounts: ["alice"], chunkBytes: PART });
  const { fetch, sent } = faultInjectingFetch(bend, Infinity);
  const retry = {
    fetch,
    times: { attempts: 2, idleTimeoutMs: 5000, backoffMs: 1, maxWaitMs: 1000, keptAliveMs: 20_000 },
    sleep,
    random: Math.random,
  };
  const target = createHubTarget({
    endpoint: options.endpoint?.(test.hub.url) ?? test.hub.url,
    username: "alice",
    token: "hf_aliceToken",
    repoPrefix: "archive",
    account: 1,
    retry,
  });
  const file = await stageFile((await test.file("a.mp4", SIZE)).path);
  const location = target.locationOf(ARCHIVE);
  return {
    test,
    target,
    file,
    location,
    sent,
    retry,
    put: () => target.put(file, location, { semaphore: createSemaphore(6) }),
    [Symbol.asyncDispose]: () => test[Symbol.asyncDispose](),
  };
}

const isBatch = (request: Request) => request.url.endsWith("/objects/batch");
const path = (request: Request) => new URL(request.url).pathname;

/** The batch call's real response with a changed upload action. */
// deno-lint-ignore no-explicit-any
const withAction = (change: (action: any) => void): Fault => (request, pass) =>
  !isBatch(request) ? null : pass().then(async (response) => {
    const body = await response.json();
    change(body.objects[0].actions.upload);
    return Response.json(body);
  });

for (
  const [what, bend] of [
    ["a response of ten gigabytes", (request) => {
      if (!isBatch(request)) return null;
      let left = 10_000;
      const megabyte = new Uint8Array(1 << 20).fill(32);
      return new Response(
        new ReadableStream({ pull: (controller) => left-- > 0 ? controller.enqueue(megabyte) : controller.close() }),
      );
    }],
    [
      "a million locations",
      withAction((action) => {
        const part = action.header["00001"];
        action.header = { chunk_size: "1" };
        for (let number = 1; number <= SIZE; number++) action.header[number] = part.slice(0, 60);
      }),
    ],
    [
      "parts of half a byte",
      withAction((action) => {
        const part = action.header["00001"];
        action.header = { chunk_size: "131000.5" };
        for (let number = 1; number <= Math.ceil(SIZE / 131000.5); number++) action.header[number] = part;
      }),
    ],
    [
      "locations of other parts",
      withAction((action) => {
        action.header["00099"] = action.header["00001"];
        delete action.header["00001"];
      }),
    ],
  ] as readonly (readonly [string, Fault])[]
) {
  Deno.test(`hub: the upload plan has ${what} → refused, nothing sent`, async () => {
    await using harness = await createHarness(bend);
    assert.equal((await storageErrorFrom(harness.put())).problem, "transient");
    assert.equal(harness.test.uploadedBytes(), 0);
  });
}

for (
  const [what, change] of [
    ["a private part URL", (action) => action.header["00003"] = "http://169.254.169.254/latest"],
    ["a completion on this machine", (action) => action.href = "http://127.0.0.1:7860/trigger"],
    ["a part URL without TLS", (action) => action.header["00001"] = "http://cdn.test/x"],
    ["a part URL with user information", (action) => action.header["00001"] = "https://a:b@cdn.test/x"],
    // deno-lint-ignore no-explicit-any
  ] as readonly (readonly [string, (action: any) => void])[]
) {
  Deno.test(`hub: the upload plan has ${what} → refused, nothing sent`, async () => {
    // A public Hub, whose responses come from the emulator.
    const bend: Fault = async (request) => {
      const real = new URL(request.url);
      if (real.origin !== "https://hub.test") return new Response("reached", { status: 418 });
      const body = path(request).endsWith("/objects/batch")
        ? {
          objects: [{
            oid: sha256,
            actions: {
              upload: {
                href: "https://hub.test/complete",
                header: Object.fromEntries([["chunk_size", `${PART}`], ...parts]),
              },
            },
          }],
        }
        : path(request).endsWith("/paths-info/main")
        ? []
        : null;
      // deno-lint-ignore no-explicit-any
      if (body && "objects" in body) change((body as any).objects[0].actions.upload);
      return await Promise.resolve(body ? Response.json(body) : new Response("reached", { status: 418 }));
    };
    const parts = [1, 2, 3, 4, 5].map((number) => [`0000${number}`, `https://cdn.test/${number}`]);
    await using harness = await createHarness(bend, { endpoint: () => "https://hub.test" });
    const { sha256 } = harness.file;
    const error = await storageErrorFrom(harness.put());
    assert.match(error.message, /URL that/);
    assert.equal(error.problem, "transient");
    assert.deepEqual(harness.sent.filter((line) => line.startsWith("PUT")), []);
    assert.doesNotMatch(harness.sent.join("\n"), /trigger|latest|\/complete/);
  });
}

Deno.test("hub: read redirected to a private URL, or in a loop → refused", async () => {
  for (const location of ["http://169.254.169.254/latest/meta-data", "http://127.0.0.1:1/x", "/datasets/loop"]) {
    const bend: Fault = () => new Response(null, { status: 302, headers: { location } });
    await using harness = await createHarness(bend, { endpoint: () => "https://hub.test" });
    await storageErrorFrom(harness.target.read(harness.location));
    assert.ok(harness.sent.every((line) => line.startsWith("GET /datasets/")), harness.sent.join());
    assert.ok(harness.sent.length <= 5);
  }
});

Deno.test("hub: a call redirected to another host → not followed, no token sent", async () => {
  let reached = 0;
  const elsewhere = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, () => {
    reached++;
    return Response.json([]);
  });
  const location = `http://127.0.0.1:${elsewhere.addr.port}/`;
  await using harness = await createHarness((request) =>
    path(request).includes("paths-info") || path(request).includes("whoami") ? Response.redirect(location, 307) : null
  );
  assert.match((await storageErrorFrom(harness.target.find(harness.location))).message, /307/);
  assert.match((await storageErrorFrom(harness.target.probe())).message, /307/);
  assert.equal(reached, 0);
  await elsewhere.shutdown();
});

Deno.test("hub: next page on another host, endless list → refused, no token", async () => {
  for (const next of ["http://127.0.0.1:1/api/next", null]) {
    const bend: Fault = (request) => {
      if (path(request).includes("whoami")) return null;
      assert.equal(
        new URL(request.url).port === "1" && request.headers.has("authorization"),
        false,
        "the token is sent",
      );
      const link = `<${next ?? request.url}>; rel="next"`;
      return Response.json([], { headers: { link } });
    };
    await using harness = await createHarness(bend);
    await storageErrorFrom(harness.target.probe());
    await storageErrorFrom(harness.target.removeTitle({ malId: 55825 }));
    assert.ok(harness.sent.length < 10_000, "it ended");
  }
});

Deno.test("hub: an invalid commit id → refused, because URLs contain it", async () => {
  await using harness = await createHarness((request, pass) =>
    !path(request).includes("/commit/") && !path(request).includes("paths-info")
      ? null
      : pass().then(async (response) => {
        const text = (await response.text()).replace(/[0-9a-f]{40}/g, "../../../api/whoami-v2");
        return new Response(text, { status: response.status });
      })
  );
  assert.match((await storageErrorFrom(harness.put())).message, /does not match the Hub/);
});

Deno.test("hub: an ETag of more than a kilobyte → ignored, not journalled", async () => {
  await using harness = await createHarness((request, pass) =>
    request.method !== "PUT"
      ? null
      : pass().then((response) => new Response(null, { status: response.status, headers: { etag: "e".repeat(5000) } }))
  );
  assert.match((await storageErrorFrom(harness.put())).message, /no ETag/);
  const [journal = ""] = [...Deno.readDirSync(`${harness.test.dir}/work`)].map((entry) => entry.name)
    .filter((name) => name.endsWith(".upload"));
  assert.doesNotMatch(await Deno.readTextFile(`${harness.test.dir}/work/${journal}`), /eeee/);
});

Deno.test("hub: manipulated or foreign journals → ignored, file stored whole", async () => {
  await using harness = await createHarness(() => null);
  const head = { sha256: harness.file.sha256, sizeBytes: SIZE };
  const plan = {
    href: "http://127.0.0.1:1/complete",
    multipart: { partBytes: PART, locations: { 1: "http://127.0.0.1:1/part" } },
    headers: {},
    verifyHref: null,
    expiresAt: null,
  };
  const journals: unknown[][] = [
    [{ ...head, plan: { url: "of another release" } }],
    [{ ...head, plan: null }],
    [{ ...head, plan }], // URLs that do not cover the file
    [{ ...head, plan: { ...plan, multipart: { ...plan.multipart, partBytes: -1 } } }],
    [{ ...head, plan: { ...plan, multipart: "all" } }],
    ["text", 1, null],
  ];
  for (const lines of journals) {
    const journal = `${harness.file.path}.hub-alice.upload`;
    await Deno.writeTextFile(journal, lines.map((line) => JSON.stringify(line)).join("\n"));
    await harness.put();
    await harness.target.remove(harness.location);
  }
  // Impossible confirmations: parts that do not exist, without an ETag, without a number.
  const stop = new AbortController();
  await harness.target.put(harness.file, harness.location, {
    semaphore: createSemaphore(1),
    signal: stop.signal,
    onProgress: (bytes) => bytes >= 2 * PART && stop.abort(new Error("stop")),
  }).catch(() => {});
  const journal = `${harness.file.path}.hub-alice.upload`;
  const confirmed = [{ part: 77, etag: "x" }, { part: 0, etag: "x" }, { part: 2.5, etag: "x" }, { part: 4 }, [], null];
  await Deno.writeTextFile(journal, confirmed.map((line) => `${JSON.stringify(line)}\n`).join(""), { append: true });
  const progress: number[] = [];
  await harness.target.put(harness.file, harness.location, {
    semaphore: createSemaphore(1),
    onProgress: (bytes) => void progress.push(bytes),
  });
  assert.ok(progress.every((bytes) => bytes <= SIZE), "nothing is counted that is not there");
  assert.equal((await harness.target.find(harness.location))?.sha256, harness.file.sha256);
});

Deno.test("every target: a location outside of its owner → refused, untouched", async () => {
  await using harness = await createHarness(() => null);
  const root = `${harness.test.dir}/folder`;
  await Deno.mkdir(root);
  await Deno.writeTextFile(`${harness.test.dir}/secret.mp4`, "not yours");
  const touched: string[] = [];
  const retry = { ...harness.retry, fetch: ((input) => (touched.push(String(input)), fetch(input))) as typeof fetch };
  const s3 = createS3Target({
    endpoint: "http://127.0.0.1:1",
    bucket: "copies",
    region: "auto",
    accessKeyId: "a",
    secretAccessKey: "b",
    repoPrefix: "archive",
    account: 2,
    retry,
  });
  const hub = createHubTarget({
    endpoint: "http://127.0.0.1:1",
    username: "alice",
    token: "hf_aliceToken",
    repoPrefix: "archive",
    account: 1,
    retry,
  });
  const folder = createFolderTarget({
    root,
    folderName: "folder",
    baseUrl: "http://x",
    repoPrefix: "archive",
    account: 3,
  });
  const owners: readonly (readonly [StorageTarget, string])[] = [[hub, "alice"], [s3, "copies"], [folder, "folder"]];
  for (const [target, owner] of owners) {
    for (
      const location of [
        { repo: `${owner}/..`, path: "secret.mp4" },
        { repo: `${owner}/archive-1/../..`, path: "secret.mp4" },
        { repo: `${owner}/archive-1`, path: "../../secret.mp4" },
        { repo: `${owner}/archive-1`, path: "1/./ep1/x.mp4" },
        { repo: "mallory/archive-1", path: "1/ep1/x.mp4" },
        { repo: `${owner}/archive-1`, path: "1//x.mp4" },
        { repo: `${owner}/archive-1?x=`, path: "1/ep1/x.mp4" },
        { repo: owner, path: "1/ep1/x.mp4" },
      ]
    ) {
      for (const run of [() => target.read(location), () => target.remove(location), () => target.find(location)]) {
        const error = await storageErrorFrom((async () => await run())());
        assert.equal(error.problem, "refused", `${target.name} ${JSON.stringify(location)}`);
      }
    }
  }
  assert.deepEqual(touched, []);
  assert.equal(await Deno.readTextFile(`${harness.test.dir}/secret.mp4`), "not yours");
});

Deno.test("requestedSeconds: any header → whole seconds, at most a day", () => {
  const now = Date.parse("2026-01-01T00:00:00Z");
  const asked = (headers: Record<string, string>) => requestedSeconds(new Headers(headers), now);
  assert.equal(asked({ "retry-after": "7" }), 7);
  assert.equal(asked({ "retry-after": "99999999999999999999" }), 86_400);
  assert.equal(asked({ ratelimit: '"api";r=0;t=99999999999' }), 86_400);
  assert.equal(requestedSeconds(new Headers({ "retry-after": new Date(now + 5000).toUTCString() }), now + 300), 5);
  assert.equal(asked({ "retry-after": "-5" }), null);
  assert.equal(asked({ "retry-after": "soon" }), null);
});

Deno.test("hub: a refusal with terminal escapes → plain text", async () => {
  const text = "no \u001b[2J\u001b]0;owned\u0007\u009b31m more\r\nX: y";
  await using harness = await createHarness((request) =>
    isBatch(request) ? Response.json({ error: text }, { status: 403 }) : null
  );
  const { message } = await storageErrorFrom(harness.put());
  assert.equal(message, "hub:alice: asking for upload URLs: 403 no [2J ]0;owned 31m more X: y");
});

Deno.test("hub: account names that differ in one character → separate journals", async () => {
  const names = ["ann_b", "ann-b"];
  await using test = await createTestHub({ accounts: names, chunkBytes: PART });
  const size = 40 * PART;
  const file = await stageFile((await test.file("a.mp4", size)).path);
  const targets = storageTargetsFromEnv(test.env);
  const stop = new AbortController();
  const onProgress = (bytes: number) => void (bytes > size && stop.abort(new Error("stop")));
  await assert.rejects(replicate(file, ARCHIVE, { targets, signal: stop.signal, onProgress }), /stop/);
  const { copies } = await replicate(file, ARCHIVE, { targets });
  assert.equal(copies.length, 2);
  const resent = test.uploadedBytes() - 2 * size;
  assert.ok(resent <= 6 * PART, `${resent / PART} parts were sent twice`);
});
