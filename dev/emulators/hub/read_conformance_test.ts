/** Reading from the hub, by @huggingface/hub, or by plain fetch for what the client has no call. */
import * as client from "@huggingface/hub";
import assert from "node:assert/strict";
import { as, BOB, bytes, PATH, REPO, sha256, upload, withHub } from "./conformance_fixture.ts";

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
