/** Writing to the hub, by @huggingface/hub, or by plain fetch for what the client has no call. */
import * as client from "@huggingface/hub";
import assert from "node:assert/strict";
import { as, BOB, bytes, PATH, REPO, sha256, statusOf, upload, withHub } from "./conformance_fixture.ts";

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

Deno.test("commit: a large and small files → one commit, both kinds of metadata", () =>
  withHub(async (hub) => {
    await client.createRepo({ ...as(hub), repo: REPO });
    const text = new Blob(["#EXTM3U\n"]);
    const output = await client.commit({
      ...as(hub),
      repo: REPO,
      title: "Both",
      operations: [
        { operation: "addOrUpdate", path: PATH, content: new Blob([bytes(50_000)]) },
        { operation: "addOrUpdate", path: "1/ep1/abc.m3u8", content: text },
        { operation: "addOrUpdate", path: "1/ep1/empty.vtt", content: new Blob([]) },
      ],
    });
    const paths = [PATH, "1/ep1/abc.m3u8", "1/ep1/empty.vtt"];
    const found = await client.pathsInfo({ ...as(hub), repo: REPO, paths, expand: true });
    assert.deepEqual(found.map(({ lastCommit }) => lastCommit.id), paths.map(() => output?.commit.oid));
    assert.deepEqual(found.map(({ size, lfs }) => [size, lfs?.oid]), [
      [50_000, sha256(bytes(50_000))],
      [8, undefined],
      [0, undefined],
    ]);
    // `printf '#EXTM3U\n' | git hash-object --stdin`, and of nothing
    assert.equal(found[1]?.oid, "fcd718794a8f17f8861fa55423c4d8b4479ce48c");
    assert.equal(found[2]?.oid, "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
    const tooLarge = [
      { key: "header", value: { summary: "x" } },
      { key: "file", value: { path: "x.m3u8", encoding: "base64", content: btoa("x".repeat(10 * 1024 * 1024 + 1)) } },
    ];
    const response = await fetch(`${hub.url}/api/datasets/alice/archive-1/commit/main`, {
      method: "POST",
      headers: { authorization: "Bearer hf_alice", "content-type": "application/x-ndjson" },
      body: tooLarge.map((line) => JSON.stringify(line)).join("\n"),
    });
    assert.equal(response.status, 400);
    assert.match((await response.json()).error, /files larger than 10 MiB/);
  }));

Deno.test("commit: a file is deleted and added again → its last commit is the last", () =>
  withHub(async (hub) => {
    await upload(hub, bytes(10), "a.txt");
    await client.deleteFiles({ ...as(hub), repo: REPO, paths: ["a.txt"] });
    const operations = [{ operation: "addOrUpdate" as const, path: "a.txt", content: new Blob([bytes(10)]) }];
    const output = await client.commit({ ...as(hub), repo: REPO, title: "Again", operations });
    const [found] = await client.pathsInfo({ ...as(hub), repo: REPO, paths: ["a.txt"], expand: true });
    assert.equal(found?.lastCommit.id, output?.commit.oid);
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

Deno.test("deleteRepo: a repository → removed with its bytes", () =>
  withHub(async (hub) => {
    await upload(hub, bytes(10));
    await client.deleteRepo({ ...as(hub), repo: REPO });
    assert.equal(await client.repoExists({ ...as(hub), repo: REPO }), false);
    assert.equal(hub.usedBytes("alice"), 0);
  }));
