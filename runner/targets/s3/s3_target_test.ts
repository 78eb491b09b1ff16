// Failures of S3 stores, as real servers send them: the copy is stored once and complete, or the refusal is classified.

import assert from "node:assert/strict";
import { type Fault, faultInjectingFetch } from "../../../dev/testing/fault_injecting_fetch.ts";
import { hasSwift, startS3, startSwift } from "../../../dev/emulators/s3/s3.ts";
import { createTestHub } from "../../../dev/emulators/hub/test_hub.ts";
import { storageErrorFrom } from "../../../dev/testing/hub_target_fixture.ts";
import { sleep } from "../../../core/sleep.ts";
import { createS3Target, type S3TargetOptions } from "./s3_target.ts";
import { createSemaphore } from "../../transfer/semaphore.ts";
import { stageFile } from "../../transfer/staged_file.ts";
import type { PutOptions } from "../target.ts";

const ARCHIVE = { malId: 55825, episode: 1, fileKey: "0123456789abcdef0123456789abcdef" };
const PART = 1 << 18;
const SIZE = 4 * PART + 1000;

const is = (request: Request, method: string, query: RegExp = /^$/) =>
  request.method === method && query.test(new URL(request.url).search);
const PART_PUT = /partNumber=/;
const BEGIN = /uploads=/;
const COMPLETE = /^\?uploadId=/;
const xml = (status: number, code: string, headers: HeadersInit = {}, message = `about ${code}`) =>
  new Response(`<?xml version="1.0"?><Error><Code>${code}</Code><Message>${message}</Message></Error>`, {
    status,
    headers,
  });

async function createHarness(
  bend: Fault,
  options: { times?: number; start?: typeof startSwift } & Partial<S3TargetOptions> = {},
) {
  const { times = 1, start = startS3, ...rest } = options;
  const test = await createTestHub({ accounts: [] });
  const s3 = await start({ dir: `${test.dir}/s3`, bucket: "copies" });
  const { fetch, sent } = faultInjectingFetch(bend, times);
  const target = createS3Target({
    endpoint: s3.url,
    bucket: "copies",
    region: "us-east-1",
    accessKeyId: s3.env.S3_ACCESS_KEY_ID!,
    secretAccessKey: s3.env.S3_SECRET_ACCESS_KEY!,
    repoPrefix: "archive",
    account: 1,
    partBytes: PART,
    retry: {
      fetch,
      times: { attempts: 3, idleTimeoutMs: 3000, backoffMs: 1, maxWaitMs: 1000, keptAliveMs: 20_000 },
      sleep,
      random: Math.random,
    },
    ...rest,
  });
  const file = await stageFile((await test.file("a.mp4", SIZE)).path);
  const location = target.locationOf(ARCHIVE);
  return {
    target,
    file,
    location,
    sent,
    put: (more?: Partial<PutOptions>) => target.put(file, location, { semaphore: createSemaphore(6), ...more }),
    async stored() {
      return await new Response(await target.read(location)).bytes();
    },
    async [Symbol.asyncDispose]() {
      await s3[Symbol.asyncDispose]();
      await test[Symbol.asyncDispose]();
    },
  };
}

const SURVIVED: Record<string, Fault> = {
  "SlowDown (503) to a stat": (r) => is(r, "HEAD") ? xml(503, "SlowDown") : null,
  "SlowDown (503) to the start of an upload": (r) => is(r, "POST", BEGIN) ? xml(503, "SlowDown") : null,
  "SlowDown (503) to a part": (r) => is(r, "PUT", PART_PUT) ? xml(503, "SlowDown") : null,
  "SlowDown (503) to the completion": (r) => is(r, "POST", COMPLETE) ? xml(503, "SlowDown") : null,
  "InternalError (500) to a part": (r) => is(r, "PUT", PART_PUT) ? xml(500, "InternalError") : null,
  "RequestTimeout (400) to a part": (r) => is(r, "PUT", PART_PUT) ? xml(400, "RequestTimeout") : null,
  "429 with Retry-After to a part": (r) => is(r, "PUT", PART_PUT) ? xml(429, "TooMany", { "retry-after": "0" }) : null,
  "a page (502) to a part": (r) =>
    is(r, "PUT", PART_PUT) ? new Response("<html><h1>Bad Gateway</h1></html>", { status: 502 }) : null,
  "a part without a response": (r) =>
    is(r, "PUT", PART_PUT)
      ? new Promise((_, reject) => r.signal.addEventListener("abort", () => reject(r.signal.reason)))
      : null,
  "a part of which half was kept": (r, pass) => {
    if (!is(r, "PUT", PART_PUT)) return null;
    const half = new Request(r, { body: new Uint8Array(PART / 2), method: "PUT" });
    return fetch(half).then(async (response) => {
      await response.body?.cancel();
      return response.ok ? response : await pass(); // refused: it was signed for another length
    });
  },
  "a part without an ETag": (r, pass) =>
    is(r, "PUT", PART_PUT) ? pass().then((response) => new Response(null, { status: response.status })) : null,
  "a broken connection after a part": (r, pass) =>
    is(r, "PUT", PART_PUT) ? pass().then(() => Promise.reject(new TypeError("connection reset"))) : null,
  "NoSuchUpload (404) to a part: the store gave it up": (r) => is(r, "PUT", PART_PUT) ? xml(404, "NoSuchUpload") : null,
  "InvalidPart (400) to the completion": (r) => is(r, "POST", COMPLETE) ? xml(400, "InvalidPart") : null,
  "200 to the completion with an error in its body": (r) => is(r, "POST", COMPLETE) ? xml(200, "InternalError") : null,
  "504 to a completion that landed": (r, pass) =>
    is(r, "POST", COMPLETE) ? pass().then(() => new Response("<html>", { status: 504 })) : null,
  "a broken connection after a completion that landed": (r, pass) =>
    is(r, "POST", COMPLETE) ? pass().then(() => Promise.reject(new TypeError("connection reset"))) : null,
};

for (const [what, bend] of Object.entries(SURVIVED)) {
  Deno.test(`s3 put: ${what} → stored once, complete`, async () => {
    await using harness = await createHarness(bend);
    const copy = await harness.put();
    assert.equal(copy.sha256, harness.file.sha256);
    assert.deepEqual(await harness.stored(), await Deno.readFile(harness.file.path));
  });
}

for (
  const [what, bend, problem, message] of [
    ["NoSuchBucket", (r) => is(r, "POST", BEGIN) ? xml(404, "NoSuchBucket") : null, "auth", /NoSuchBucket/],
    ["AccessDenied", (r) => is(r, "POST", BEGIN) ? xml(403, "AccessDenied") : null, "auth", /AccessDenied/],
    ["QuotaExceeded (403)", (r) => is(r, "PUT", PART_PUT) ? xml(403, "QuotaExceeded") : null, "quota", /Quota/],
    ["EntityTooLarge", (r) => is(r, "POST", BEGIN) ? xml(400, "EntityTooLarge") : null, "refused", /EntityTooLarge/],
    [
      "another region's 301",
      (r) => is(r, "POST", BEGIN) ? xml(301, "PermanentRedirect") : null,
      "auth",
      /PermanentRedirect.*region/,
    ],
    [
      "another region's 307",
      (r) =>
        is(r, "PUT", PART_PUT) ? xml(307, "TemporaryRedirect", { location: "http://127.0.0.1:9/elsewhere" }) : null,
      "auth",
      /TemporaryRedirect.*region/,
    ],
    [
      "a wrong region (400)",
      (r) => is(r, "POST", BEGIN) ? xml(400, "AuthorizationHeaderMalformed") : null,
      "auth",
      /AuthorizationHeaderMalformed/,
    ],
  ] as readonly (readonly [string, Fault, string, RegExp])[]
) {
  Deno.test(`s3 put: ${what} → ${problem}, not repeated`, async () => {
    await using harness = await createHarness(bend, { times: 99 });
    const error = await storageErrorFrom(harness.put());
    assert.equal(error.problem, problem);
    assert.match(error.message, message);
    const bent = harness.sent.filter((line) => line.includes("?uploads") || line.includes("partNumber"));
    assert.ok(bent.length <= 4, `not repeated: ${bent}`); // one beginning, three part streams
    assert.equal(await harness.target.find(harness.location), null);
  });
}

function codeOf(text: string): string {
  return /<Code>(\w+)</.exec(text)?.[1] ?? "";
}

/** Refuses requests signed more than 15 minutes off this machine's clock; s3rver itself does not check. */
const skewed: Fault = (request, pass) => {
  const stamp = request.headers.get("x-amz-date") ?? "";
  const signedAt = Date.parse(stamp.replace(/(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z/, "$1-$2-$3T$4:$5:$6Z"));
  if (Math.abs(signedAt - Date.now()) < 900_000) return pass();
  const headers = { date: new Date().toUTCString() };
  return request.method === "HEAD"
    ? new Response(null, { status: 403, headers })
    : xml(403, "RequestTimeTooSkewed", headers);
};

Deno.test("s3 put: the key is revoked → auth; with the key again → resumes", async () => {
  let withdrawn = false;
  await using harness = await createHarness(() => withdrawn ? xml(403, "InvalidAccessKeyId") : null, {
    times: Infinity,
  });
  const begun = () => harness.sent.filter((line) => line.includes("partNumber=")).length;
  const running = harness.put({ semaphore: createSemaphore(1), onProgress: () => void (withdrawn = begun() === 2) });
  assert.equal((await storageErrorFrom(running)).problem, "auth");
  withdrawn = false;
  await harness.put();
  assert.deepEqual(await harness.stored(), await Deno.readFile(harness.file.path));
});

Deno.test("s3 put: the bucket is deleted → auth, nothing is marked as missing", async () => {
  let gone = false;
  await using harness = await createHarness((r) => gone && is(r, "PUT", PART_PUT) ? xml(404, "NoSuchBucket") : null, {
    times: Infinity,
  });
  const running = harness.put({ onProgress: (bytes) => void (gone = bytes > 0) });
  const error = await storageErrorFrom(running);
  assert.deepEqual([error.problem, error.retryable], ["auth", true]);
});

/** Removes the hash from all metadata. */
const unlabelled: Fault = (request, pass) =>
  is(request, "HEAD")
    ? pass().then(({ status, headers }) => {
      const kept = new Headers(headers);
      kept.delete("x-amz-meta-sha256");
      return new Response(null, { status, headers: kept });
    })
    : null;

for (const [what, landed504] of [["", false], [" and responds to the completion with 504", true]] as const) {
  Deno.test(`s3 put: the store drops metadata${what} → refused, nothing left`, async () => {
    const completed: Fault = (request, pass) =>
      landed504 && is(request, "POST", COMPLETE)
        ? pass().then(() => new Response("<html>", { status: 504 }))
        : unlabelled(request, pass);
    await using harness = await createHarness(completed, { times: Infinity });
    const error = await storageErrorFrom(harness.put());
    assert.deepEqual([error.problem, error.code], ["refused", "storage_denied"]);
    assert.match(error.message, /does not keep x-amz-meta-sha256/);
    assert.equal(harness.sent.filter((line) => /partNumber=1&/.test(line)).length, 1, "sent once");
    assert.equal((await storageErrorFrom(harness.target.read(harness.location))).problem, "missing");
  });
}

Deno.test("s3 put: the completion's response starts with white space → sent once", async () => {
  const kept: Fault = (request, pass) =>
    is(request, "POST", COMPLETE)
      ? pass().then(async (response) => new Response(`${" ".repeat(10_000)}\n${await response.text()}`))
      : null;
  await using harness = await createHarness(kept);
  await harness.put();
  assert.deepEqual(await harness.stored(), await Deno.readFile(harness.file.path));
});

Deno.test("s3 put: the store is unreachable → transient, after all attempts", async () => {
  await using harness = await createHarness(() => Promise.reject(new TypeError("connection refused")), {
    times: Infinity,
  });
  const error = await storageErrorFrom(harness.put());
  assert.deepEqual([error.problem, error.code], ["transient", "network"]);
  assert.equal(harness.sent.length, 3);
});

for (
  const [response, problem] of [
    [xml(403, "AccessDenied"), "auth"],
    [xml(404, "NoSuchKey"), "missing"],
    [new Response("<html>not here</html>", { status: 404 }), "invisible"],
    [xml(404, "NoSuchBucket"), "auth"],
    [xml(416, "InvalidRange"), "refused"],
    [xml(500, "InternalError"), "transient"],
  ] as const
) {
  Deno.test(`s3 read: ${response.status} ${await response.clone().text().then(codeOf)} → ${problem}`, async () => {
    await using harness = await createHarness((r) => is(r, "GET") ? response.clone() : null, { times: Infinity });
    assert.equal((await storageErrorFrom(harness.target.read(harness.location))).problem, problem);
    await response.body?.cancel();
  });
}

for (const [store, start, ignore] of [["s3rver", startS3, false], ["Swift", startSwift, !hasSwift()]] as const) {
  for (const hours of [1, -25]) {
    const reason = ignore ? " (skipped: python3-swift is not installed)" : "";
    const name =
      `s3: put and read on a machine whose clock is ${hours} h off, to ${store} → stored, refused once${reason}`;
    Deno.test({
      name,
      ignore,
      async fn() {
        const now = () => Date.now() + hours * 3_600_000;
        const bend = store === "s3rver" ? skewed : () => null;
        await using harness = await createHarness(bend, { times: Infinity, now, start });
        await harness.put();
        assert.deepEqual(await harness.stored(), await Deno.readFile(harness.file.path));
        const looks = harness.sent.filter((line) => line.startsWith("HEAD"));
        assert.equal(looks.length, 3, "the first stat twice, and the one after the upload");
      },
    });
  }
}

Deno.test("s3: a refusal that is not about the clock → not repeated", async () => {
  await using harness = await createHarness((r) => is(r, "HEAD") ? new Response(null, { status: 403 }) : null, {
    times: 99,
  });
  assert.equal((await storageErrorFrom(harness.put())).problem, "auth");
  assert.deepEqual(harness.sent.map((line) => line.split(" ")[0]), ["HEAD"]);
});

Deno.test("s3: any refusal → the message has no key id and no signature", async () => {
  const repeats = () =>
    new Response(
      `<Error><Code>SignatureDoesNotMatch</Code><Message>no</Message><AWSAccessKeyId>S3RVER</AWSAccessKeyId>` +
        `<SignatureProvided>0123abcd</SignatureProvided></Error>`,
      { status: 403 },
    );
  await using harness = await createHarness((r) => is(r, "POST", BEGIN) ? repeats() : null, { times: 99 });
  const { message } = await storageErrorFrom(harness.put());
  assert.equal(message, "s3:copies: starting an upload: 403 SignatureDoesNotMatch no");
});

Deno.test("s3 probe: several pages → summed up; too many pages → unknown", async () => {
  const page = (token: string) =>
    new Response(
      `<ListBucketResult><Contents><Key>a</Key><Size>1000</Size></Contents><Contents><Key>b</Key><Size>24</Size></Contents>` +
        (token ? `<IsTruncated>true</IsTruncated><NextContinuationToken>${token}</NextContinuationToken>` : "") +
        `</ListBucketResult>`,
    );
  const tokens: (string | null)[] = [];
  const listing = (pages: number): Fault => (request) => {
    tokens.push(new URL(request.url).searchParams.get("continuation-token"));
    return page(tokens.length < pages ? `a&amp;b ${tokens.length}` : "");
  };
  await using three = await createHarness(listing(3), { times: Infinity });
  assert.deepEqual(await three.target.probe(), { usedBytes: 3 * 1024 });
  assert.deepEqual(tokens, [null, "a&b 1", "a&b 2"]);
  await using endless = await createHarness(listing(Infinity), { times: Infinity });
  assert.deepEqual(await endless.target.probe(), { usedBytes: null });
});

Deno.test("s3 removeTitle: the store lists other keys → they are not removed", async () => {
  const listing: Fault = (request) =>
    is(request, "GET", /list-type/)
      ? new Response(
        "<ListBucketResult><Contents><Key>other/title.mp4</Key></Contents>" +
          "<Contents><Key>archive-55825/55825/ep1/ab.mp4</Key></Contents></ListBucketResult>",
      )
      : null;
  await using harness = await createHarness(listing, { times: Infinity });
  await harness.target.removeTitle({ malId: 55825 });
  const touched = harness.sent.filter((line) => !line.startsWith("GET"));
  assert.deepEqual(touched, ["DELETE /copies/archive-55825/55825/ep1/ab.mp4"]);
});

Deno.test("s3: a gateway drops Content-Length from HEAD → reported, copies kept", async () => {
  const unsized: Fault = (request, pass) =>
    is(request, "HEAD")
      ? pass().then(({ status, headers }) => {
        const kept = new Headers(headers);
        kept.delete("content-length");
        return new Response(null, { status, headers: kept });
      })
      : null;
  await using harness = await createHarness(unsized, { times: Infinity });
  const error = await storageErrorFrom(harness.put());
  assert.deepEqual([error.problem, error.code], ["transient", "storage_5xx"]);
  assert.match(error.message, /HEAD without Content-Length/);
  assert.deepEqual(await harness.stored(), await Deno.readFile(harness.file.path));
});
