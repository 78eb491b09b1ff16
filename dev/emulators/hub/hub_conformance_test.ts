// The hub as its real client sees it: every case is driven by @huggingface/hub, or by plain fetch where the client hides it.

import * as client from "@huggingface/hub";
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { type Hub, type HubOptions, startHub } from "./hub.ts";

const ALICE = { name: "alice", token: "hf_alice" };
const BOB = { name: "bob", token: "hf_bob" };
const REPO = { type: "dataset", name: "alice/archive-1" } as const;
const PATH = "1/ep1/abc.mp4";

async function withHub(test: (hub: Hub, dir: string) => Promise<void>, options: Partial<HubOptions> = {}) {
  const dir = await Deno.makeTempDir({ prefix: "hub-test-" });
  const hub = await startHub({ dir, users: [ALICE, BOB], ...options });
  try {
    await test(hub, dir);
  } finally {
    await hub.stop();
    await Deno.remove(dir, { recursive: true });
  }
}

function bytes(size: number, seed = 1): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(size);
  for (let i = 0, value = seed; i < size; i++) out[i] = value = (value * 1103515245 + 12345 + i) & 0xff;
  return out;
}

const sha256 = (data: Uint8Array) => createHash("sha256").update(data).digest("hex");
const as = (hub: Hub, user = ALICE) => ({ hubUrl: hub.url, accessToken: user.token });

async function upload(hub: Hub, data: Uint8Array<ArrayBuffer>, path = PATH) {
  await client.createRepo({ ...as(hub), repo: REPO, visibility: "private" });
  return await client.commit({
    ...as(hub),
    repo: REPO,
    title: "Add",
    operations: [{ operation: "addOrUpdate", path, content: new Blob([data]) }],
  });
}

async function statusOf(promise: Promise<unknown>): Promise<number> {
  const error = await promise.then(() => null, (reason) => reason);
  assert.ok(error instanceof client.HubApiError, `a HubApiError, not ${error}`);
  return error.statusCode;
}

Deno.test("whoAmI: a token → its user; an unknown token → 401", () =>
  withHub(async (hub) => {
    const me = await client.whoAmI(as(hub));
    assert.equal(me.name, "alice");
    assert.equal(me.auth.accessToken?.role, "write");
    assert.equal(await statusOf(client.whoAmI({ hubUrl: hub.url, accessToken: "hf_nobody" })), 401);
  }));

Deno.test("createRepo: once → private; again → 409; another owner → 403", () =>
  withHub(async (hub) => {
    const made = await client.createRepo({ ...as(hub), repo: REPO, visibility: "private" });
    assert.equal(made.repoUrl, `${hub.url}/datasets/alice/archive-1`);
    assert.equal(await client.repoExists({ ...as(hub), repo: REPO }), true);
    assert.equal(await client.repoExists({ ...as(hub, BOB), repo: REPO }), false);
    assert.equal(await client.repoExists({ hubUrl: hub.url, repo: REPO }), false);
    assert.equal(await statusOf(client.createRepo({ ...as(hub), repo: REPO })), 409);
    assert.equal(await statusOf(client.createRepo({ ...as(hub, BOB), repo: REPO })), 403);
  }));

Deno.test("commit: a large file → one LFS object with the same bytes", () =>
  withHub(async (hub) => {
    const data = bytes(300_000);
    const output = await upload(hub, data);
    assert.match(output?.commit.oid ?? "", /^[0-9a-f]{40}$/);
    assert.deepEqual(hub.calls.filter((call) => call.at.startsWith("upload")).map((call) => call.bytes), [300_000]);
    const [info] = await client.pathsInfo({ ...as(hub), repo: REPO, paths: [PATH, "1/ep1/none.mp4"], expand: true });
    assert.equal(info?.lfs?.oid, sha256(data));
    assert.equal(info?.size, 300_000);
    assert.equal(info?.lastCommit.id, output?.commit.oid);
    const blob = await client.downloadFile({ ...as(hub), repo: REPO, path: PATH });
    assert.deepEqual(new Uint8Array(await blob!.arrayBuffer()), data);
  }));

Deno.test("commit: a file over the threshold → sent in parts", () =>
  withHub(async (hub) => {
    const data = bytes(250_000);
    await upload(hub, data);
    const parts = hub.calls.filter((call) => call.at === "upload_part").map((call) => call.bytes).sort();
    assert.deepEqual(parts, [100_000, 100_000, 50_000]);
    assert.equal(hub.calls.filter((call) => call.at === "complete").length, 1);
    const blob = await client.downloadFile({ ...as(hub), repo: REPO, path: PATH });
    assert.deepEqual(new Uint8Array(await blob!.arrayBuffer()), data);
  }, { multipartThresholdBytes: 100_000, chunkBytes: 100_000 }));

Deno.test("commit: an object that the repository has → no bytes sent", () =>
  withHub(async (hub) => {
    await upload(hub, bytes(50_000));
    const before = hub.calls.filter((call) => call.at === "upload_basic").length;
    await client.commit({
      ...as(hub),
      repo: REPO,
      title: "Again",
      operations: [{ operation: "addOrUpdate", path: "1/ep2/same.mp4", content: new Blob([bytes(50_000)]) }],
    });
    assert.equal(hub.calls.filter((call) => call.at === "upload_basic").length, before);
  }));

Deno.test("commit: a small text file → in git, read through a relative 307", () =>
  withHub(async (hub) => {
    await upload(hub, bytes(20), "README.md");
    const response = await fetch(`${hub.url}/datasets/alice/archive-1/resolve/main/README.md`, {
      headers: { authorization: "Bearer hf_alice" },
      redirect: "manual",
    });
    await response.body?.cancel();
    assert.equal(response.status, 307);
    assert.match(
      response.headers.get("location") ?? "",
      /^\/api\/resolve-cache\/datasets\/alice\/archive-1\/[0-9a-f]{40}\//,
    );
    const blob = await client.downloadFile({ ...as(hub), repo: REPO, path: "README.md" });
    assert.deepEqual(new Uint8Array(await blob!.arrayBuffer()), bytes(20));
  }));

Deno.test("commit: moved parent → 412; concurrent → 409; no LFS object → 400", () =>
  withHub(async (hub) => {
    await upload(hub, bytes(10));
    const operations = [{ operation: "delete" as const, path: PATH }];
    const parentCommit = "0".repeat(40);
    assert.equal(await statusOf(client.commit({ ...as(hub), repo: REPO, title: "x", parentCommit, operations })), 412);
    hub.fail("commit_locked");
    assert.equal(await statusOf(client.commit({ ...as(hub), repo: REPO, title: "x", operations })), 409);
    const lines = [
      { key: "header", value: { summary: "x" } },
      { key: "lfsFile", value: { path: "x.mp4", algo: "sha256", oid: "a".repeat(64), size: 3 } },
    ];
    const response = await fetch(`${hub.url}/api/datasets/alice/archive-1/commit/main`, {
      method: "POST",
      headers: { authorization: "Bearer hf_alice", "content-type": "application/x-ndjson" },
      body: lines.map((line) => JSON.stringify(line)).join("\n"),
    });
    assert.equal(response.status, 400);
    assert.match((await response.json()).error, /LFS pointer pointed to a file that does not exist/);
  }));

Deno.test("deleteFiles: a path → gone; an old commit has it until LFS deletion", () =>
  withHub(async (hub) => {
    const added = await upload(hub, bytes(30_000));
    await client.deleteFiles({ ...as(hub), repo: REPO, paths: [PATH] });
    assert.equal(await client.fileExists({ ...as(hub), repo: REPO, path: PATH }), false);
    const revision = added?.commit.oid;
    assert.equal(await client.fileExists({ ...as(hub), repo: REPO, path: PATH, revision }), true);
    const headers = { authorization: "Bearer hf_alice", "content-type": "application/json" };
    const stored = await (await fetch(`${hub.url}/api/datasets/alice/archive-1/lfs-files`, { headers })).json();
    assert.equal(stored[0].fileOid, sha256(bytes(30_000)));
    const deleted = await fetch(`${hub.url}/api/datasets/alice/archive-1/lfs-files/batch`, {
      method: "POST",
      headers,
      body: JSON.stringify({ deletions: { sha: [stored[0].fileOid], rewriteHistory: true } }),
    });
    assert.equal(deleted.status, 200);
    assert.equal(await client.fileExists({ ...as(hub), repo: REPO, path: PATH, revision }).catch(() => false), false);
    assert.equal(hub.usedBytes("alice"), 0);
    const ids: string[] = [];
    for await (const commit of client.listCommits({ ...as(hub), repo: REPO })) ids.push(commit.oid);
    assert.equal(ids.length, 3);
    assert.ok(!ids.includes(revision ?? ""), "a rewritten history has new commit ids");
  }));

Deno.test("resolve: a private LFS file → 302 to a CDN URL with ranges, no token", () =>
  withHub(async (hub) => {
    const data = bytes(1000);
    await upload(hub, data);
    const url = `${hub.url}/datasets/alice/archive-1/resolve/main/${PATH}`;
    const anonymous = await fetch(url, { redirect: "manual" });
    await anonymous.body?.cancel();
    assert.equal(anonymous.status, 401);
    const other = await fetch(url, { redirect: "manual", headers: { authorization: "Bearer hf_bob" } });
    await other.body?.cancel();
    assert.equal(other.status, 404);
    assert.equal(other.headers.get("x-error-code"), "RepoNotFound");
    const response = await fetch(url, { redirect: "manual", headers: { authorization: "Bearer hf_alice" } });
    await response.body?.cancel();
    assert.equal(response.status, 302);
    assert.equal(response.headers.get("x-linked-size"), "1000");
    assert.equal(response.headers.get("x-linked-etag"), `"${sha256(data)}"`);
    assert.match(response.headers.get("x-repo-commit") ?? "", /^[0-9a-f]{40}$/);
    const cdn = response.headers.get("location") ?? "";
    assert.notEqual(new URL(cdn).origin, hub.url);
    for (
      const [range, status, part] of [
        ["bytes=10-19", 206, data.slice(10, 20)],
        ["bytes=990-", 206, data.slice(990)],
        ["bytes=-5", 206, data.slice(995)],
        ["bytes=0-1,5-6", 200, data],
      ] as const
    ) {
      const got = await fetch(cdn, { headers: { range } });
      assert.equal(got.status, status, range);
      assert.deepEqual(new Uint8Array(await got.arrayBuffer()), part, range);
    }
    const beyond = await fetch(cdn, { headers: { range: "bytes=1000-" } });
    await beyond.body?.cancel();
    assert.equal(beyond.status, 416);
    assert.equal(beyond.headers.get("content-range"), "bytes */1000");
    const forged = await fetch(cdn.replace(/Expires=\d+/, "Expires=9999999999"));
    assert.equal(forged.status, 403);
    assert.match(await forged.text(), /SignatureDoesNotMatch/);
    const tokenSent = await fetch(cdn, { headers: { authorization: "Bearer hf_alice" } });
    await tokenSent.body?.cancel();
    assert.equal(tokenSent.status, 400);
  }));

Deno.test("CDN: a URL older than an hour → 403", async () => {
  let now = 1_700_000_000;
  await withHub(async (hub) => {
    await upload(hub, bytes(10));
    const response = await fetch(`${hub.url}/datasets/alice/archive-1/resolve/main/${PATH}`, {
      headers: { authorization: "Bearer hf_alice" },
      redirect: "manual",
    });
    await response.body?.cancel();
    const cdn = response.headers.get("location") ?? "";
    now += 3599;
    const inTime = await fetch(cdn);
    await inTime.body?.cancel();
    assert.equal(inTime.status, 200);
    now += 2;
    const late = await fetch(cdn);
    assert.equal(late.status, 403);
    assert.match(await late.text(), /AccessDenied/);
  }, { now: () => now });
});

Deno.test("resolve: an unknown path or revision → 404 with its error code", () =>
  withHub(async (hub) => {
    await upload(hub, bytes(10));
    for (const [rest, code] of [["main/none.mp4", "EntryNotFound"], ["nope/x.mp4", "RevisionNotFound"]]) {
      const response = await fetch(`${hub.url}/datasets/alice/archive-1/resolve/${rest}`, {
        headers: { authorization: "Bearer hf_alice" },
      });
      await response.body?.cancel();
      assert.equal(response.status, 404);
      assert.equal(response.headers.get("x-error-code"), code);
    }
    assert.equal(await client.downloadFile({ ...as(hub), repo: REPO, path: "none.mp4" }), null);
  }));

Deno.test("upload URL: a token, a wrong length, a chunked body → refused", () =>
  withHub(async (hub) => {
    await client.createRepo({ ...as(hub), repo: REPO });
    const batch = await fetch(`${hub.url}/datasets/alice/archive-1.git/info/lfs/objects/batch`, {
      method: "POST",
      headers: { authorization: "Bearer hf_alice", "content-type": "application/vnd.git-lfs+json" },
      body: JSON.stringify({
        operation: "upload",
        transfers: ["basic"],
        objects: [{ oid: sha256(bytes(9)), size: 9 }],
      }),
    });
    assert.equal(batch.headers.get("content-type"), "application/vnd.git-lfs+json");
    const href = (await batch.json()).objects[0].actions.upload.href;
    const put = async (body: BodyInit, headers: HeadersInit = {}) => {
      const response = await fetch(href, { method: "PUT", body, headers });
      await response.body?.cancel();
      return response.status;
    };
    assert.equal(await put(bytes(9), { authorization: "Bearer hf_alice" }), 400);
    assert.equal(await put(bytes(8)), 400);
    assert.equal(await put(new Blob([bytes(9)]).stream()), 411);
    assert.equal(await put(bytes(9)), 200);
  }));

Deno.test("upload: bytes that do not match the object → refused", () =>
  withHub(async (hub) => {
    hub.fail("basic_truncated");
    assert.equal(await statusOf(upload(hub, bytes(5000))), 400);
    assert.equal(hub.usedBytes("alice"), 0);
  }));

Deno.test("listDatasets: private repositories → their owner only, in pages", () =>
  withHub(async (hub) => {
    for (let title = 1; title <= 5; title++) {
      const repo = { type: "dataset", name: `alice/archive-${title}` } as const;
      await client.createRepo({ ...as(hub), repo, visibility: title === 5 ? "public" : "private" });
    }
    const names = async (user: typeof ALICE) => {
      const found: string[] = [];
      for await (const entry of client.listDatasets({ ...as(hub, user), search: { owner: "alice" } })) {
        found.push(entry.name);
      }
      return found.sort();
    };
    assert.equal((await names(ALICE)).length, 5);
    assert.deepEqual(await names(BOB), ["alice/archive-5"]);
    const first = await fetch(`${hub.url}/api/datasets?author=alice&limit=2`, {
      headers: { authorization: "Bearer hf_alice" },
    });
    assert.equal((await first.json()).length, 2);
    assert.match(first.headers.get("link") ?? "", /^<.*cursor=2.*>; rel="next"$/);
  }));

Deno.test("listFiles: directories → walked; listCommits: newest first", () =>
  withHub(async (hub) => {
    await upload(hub, bytes(10));
    const paths: string[] = [];
    for await (const entry of client.listFiles({ ...as(hub), repo: REPO, recursive: true })) paths.push(entry.path);
    assert.deepEqual(paths.sort(), [".gitattributes", "1", "1/ep1", PATH]);
    const titles: string[] = [];
    for await (const commit of client.listCommits({ ...as(hub), repo: REPO })) titles.push(commit.title);
    assert.deepEqual(titles, ["Add", "initial commit"]);
    assert.equal(await client.countCommits({ ...as(hub), repo: REPO }), 2);
  }));

Deno.test("settings/repositories: two repositories → bytes of each", () =>
  withHub(async (hub) => {
    await upload(hub, bytes(70_000));
    const response = await fetch(`${hub.url}/api/settings/repositories`, {
      headers: { authorization: "Bearer hf_alice" },
    });
    const [entry] = await response.json();
    assert.equal(entry.id, "alice/archive-1");
    assert.equal(entry.storage, 70_000);
    assert.equal(entry.visibility, "private");
  }));

Deno.test("deleteRepo: a repository → removed with its bytes", () =>
  withHub(async (hub) => {
    await upload(hub, bytes(10));
    await client.deleteRepo({ ...as(hub), repo: REPO });
    assert.equal(await client.repoExists({ ...as(hub), repo: REPO }), false);
    assert.equal(hub.usedBytes("alice"), 0);
  }));

Deno.test("rate limit: in every response; exceeded → 429 until the window ends", async () => {
  let now = 1_700_000_000;
  await withHub(async (hub) => {
    const ask = () => fetch(`${hub.url}/api/whoami-v2`, { headers: { authorization: "Bearer hf_alice" } });
    const statuses: number[] = [];
    const remaining: string[] = [];
    for (let call = 0; call < 3; call++) {
      const response = await ask();
      await response.body?.cancel();
      statuses.push(response.status);
      remaining.push(response.headers.get("ratelimit") ?? "");
    }
    assert.deepEqual(statuses, [200, 200, 429]);
    assert.deepEqual(remaining, ['"api";r=1;t=60', '"api";r=0;t=60', '"api";r=0;t=60']);
    now += 60;
    const later = await ask();
    await later.body?.cancel();
    assert.equal(later.status, 200);
  }, { now: () => now, rateLimits: { api: 2, resolvers: 2, windowSeconds: 60 } });
});

Deno.test("restart: same directory → repositories, commits and bytes are there", async () => {
  const dir = await Deno.makeTempDir({ prefix: "hub-test-" });
  const first = await startHub({ dir, users: [ALICE] });
  const data = bytes(40_000);
  await upload(first, data);
  await first.stop();
  const second = await startHub({ dir, users: [ALICE] });
  const blob = await client.downloadFile({ ...as(second), repo: REPO, path: PATH });
  assert.deepEqual(new Uint8Array(await blob!.arrayBuffer()), data);
  await second.stop();
  await Deno.remove(dir, { recursive: true });
});

Deno.test("Space: secrets → write-only; variables → shown; pause → owner only", () =>
  withHub(async (hub) => {
    const repo = { type: "space", name: "alice/runner" } as const;
    await client.createRepo({ ...as(hub), repo, sdk: "docker", visibility: "private" });
    const ask = async (method: string, path: string, body?: unknown, user = ALICE) => {
      const response = await fetch(`${hub.url}/api/spaces/alice/runner/${path}`, {
        method,
        headers: { authorization: `Bearer ${user.token}`, "content-type": "application/json" },
        body: body === undefined ? undefined : JSON.stringify(body),
      });
      return { status: response.status, body: await response.json() };
    };
    await ask("POST", "secrets", { key: "HF_FILE_SALT", value: "salt" });
    await ask("POST", "variables", { key: "PORT", value: "7860" });
    const secrets = await ask("GET", "secrets");
    assert.deepEqual(Object.keys(secrets.body), ["HF_FILE_SALT"]);
    assert.doesNotMatch(JSON.stringify(secrets.body), /"salt"/);
    assert.equal((await ask("GET", "variables")).body.PORT.value, "7860");
    assert.equal((await ask("POST", "pause")).body.stage, "PAUSED");
    assert.equal((await ask("POST", "restart")).body.stage, "RUNNING");
    assert.equal((await ask("POST", "sleeptime", { seconds: 3600 })).body.gcTimeout, 3600);
    assert.equal((await ask("GET", "runtime")).body.stage, "RUNNING");
    await ask("DELETE", "secrets", { key: "HF_FILE_SALT" });
    assert.deepEqual((await ask("GET", "secrets")).body, {});
    assert.equal((await ask("POST", "pause", undefined, BOB)).status, 404);
  }));

Deno.test("organisation: its repositories → for its members only", () =>
  withHub(async (hub) => {
    const member = hub.user("alice");
    Object.assign(member, { orgs: ["studio"] });
    const me = await client.whoAmI(as(hub));
    assert.ok(me.type === "user");
    assert.deepEqual(me.orgs.map((org) => org.name), ["studio"]);
    const repo = { type: "dataset", name: "studio/archive-1" } as const;
    await client.createRepo({ ...as(hub), repo, visibility: "private" });
    assert.equal(await statusOf(client.createRepo({ ...as(hub, BOB), repo })), 403);
    const data = bytes(20_000);
    await client.uploadFile({ ...as(hub), repo, file: { path: PATH, content: new Blob([data]) }, useXet: false });
    assert.equal(await client.fileExists({ ...as(hub), repo, path: PATH }), true);
    assert.equal(await client.repoExists({ ...as(hub, BOB), repo }), false);
    const names = [];
    for await (const entry of client.listDatasets({ ...as(hub), search: { owner: "studio" } })) names.push(entry.name);
    assert.deepEqual(names, ["studio/archive-1"]);
    const settings = (user: typeof ALICE) =>
      fetch(`${hub.url}/api/organizations/studio/settings/repositories`, {
        headers: { authorization: `Bearer ${user.token}` },
      });
    const [entry] = await (await settings(ALICE)).json();
    assert.deepEqual([entry.id, entry.storage, entry.visibility], ["studio/archive-1", 20_000, "private"]);
    const stranger = await settings(BOB);
    await stranger.body?.cancel();
    assert.equal(stranger.status, 403);
    await client.deleteRepo({ ...as(hub), repo });
    assert.equal(await client.repoExists({ ...as(hub), repo }), false);
  }));

Deno.test("listFiles, listCommits: several pages → all of them", () =>
  withHub(async (hub) => {
    await client.createRepo({ ...as(hub), repo: REPO });
    const files = Array.from({ length: 130 }, (_, index) => ({
      path: `1/ep${index}/a.txt`,
      content: new Blob([`${index}`]),
    }));
    await client.uploadFiles({ ...as(hub), repo: REPO, files, useXet: false });
    const paths: string[] = [];
    for await (const entry of client.listFiles({ ...as(hub), repo: REPO, recursive: true })) {
      if (entry.type === "file") paths.push(entry.path);
    }
    assert.equal(new Set(paths).size, 131); // .gitattributes is one of them
    assert.ok(hub.calls.filter((call) => call.at === "tree").length > 1, "more than one page");
    for (const path of [files[0]!.path, files[1]!.path, files[2]!.path]) {
      await client.deleteFile({ ...as(hub), repo: REPO, path });
    }
    const titles: string[] = [];
    for await (const commit of client.listCommits({ ...as(hub), repo: REPO, batchSize: 2 })) titles.push(commit.title);
    assert.equal(titles.length, 5);
    assert.equal(hub.calls.filter((call) => call.at === "commits").length, 3);
  }));

Deno.test("checkRepoAccess, datasetInfo, listSpaces: public, private, missing", () =>
  withHub(async (hub) => {
    await client.createRepo({ ...as(hub), repo: REPO, visibility: "private" });
    const open = { type: "space", name: "alice/runner" } as const;
    await client.createRepo({ ...as(hub), repo: open, sdk: "docker", visibility: "public" });
    await client.checkRepoAccess({ ...as(hub), repo: REPO });
    await assert.rejects(client.checkRepoAccess({ ...as(hub, BOB), repo: REPO }));
    await assert.rejects(client.checkRepoAccess({ hubUrl: hub.url, repo: REPO }));
    await client.checkRepoAccess({ hubUrl: hub.url, repo: open });
    const info = await client.datasetInfo({ ...as(hub), name: REPO.name });
    assert.deepEqual([info.name, info.private], [REPO.name, true]);
    const spaces: string[] = [];
    for await (const space of client.listSpaces({ hubUrl: hub.url, search: { owner: "alice" } })) {
      spaces.push(space.name);
    }
    assert.deepEqual(spaces, [open.name]);
  }));

Deno.test("fileDownloadInfo: owner → size and object; another user → nothing", () =>
  withHub(async (hub) => {
    const data = bytes(5000);
    await upload(hub, data);
    const info = await client.fileDownloadInfo({ ...as(hub), repo: REPO, path: PATH });
    assert.equal(info?.size, 5000);
    assert.equal(info?.etag, `"${sha256(data)}"`);
    const stranger = await client.fileDownloadInfo({ ...as(hub, BOB), repo: REPO, path: PATH }).catch(() => null);
    assert.equal(stranger, null);
  }));

Deno.test("hub program: tokens → from its environment, not in its arguments", async () => {
  const dir = await Deno.makeTempDir({ prefix: "hub-program-" });
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", new URL("./main.ts", import.meta.url).pathname, "--dir", dir],
    env: { HUB_USERS: "alice=hf_alice,bob=hf_bob" },
    stdout: "piped",
  }).spawn();
  const output = child.stdout.getReader();
  const { url } = JSON.parse(new TextDecoder().decode((await output.read()).value));
  assert.equal((await client.whoAmI({ hubUrl: url, accessToken: BOB.token })).name, "bob");
  if (Deno.build.os === "linux") {
    assert.doesNotMatch(await Deno.readTextFile(`/proc/${child.pid}/cmdline`), /hf_/);
  }
  child.kill("SIGTERM");
  await output.cancel();
  await child.status;
  await Deno.remove(dir, { recursive: true });
});
