// Archived files on every kind of storage target, written by the runner's own targets and read through real workerd.
import assert from "node:assert/strict";
import { bytesOf, codeOf, startProxyFixture } from "../../dev/testing/proxy_fixture.ts";
import { createTestHub } from "../../dev/emulators/hub/test_hub.ts";
import { startS3 } from "../../dev/emulators/s3/s3.ts";

// A program, because tests here may not import the runner.
const PROGRAM = new URL("../../dev/testing/replicate_program.ts", import.meta.url).pathname;
const FOLDER_SERVER = new URL("../../dev/testing/folder_server.ts", import.meta.url).pathname;
const ARCHIVE = { malId: 5, episode: 1, fileKey: "0123456789abcdef0123456789abcdef" };
const SIZE = 700_000;

Deno.test("archive: Hub, S3 and folder serve ranges and replace each other", async (t) => {
  await using bench = await createTestHub({ accounts: ["alice", "bob"] });
  await using s3 = await startS3({ dir: `${bench.dir}/s3`, bucket: "bucket" });
  await Deno.mkdir(`${bench.dir}/folder`);
  const folder = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", FOLDER_SERVER, `${bench.dir}/folder`],
    env: { FOLDER_TOKEN: "folder-token" },
    stdout: "piped",
    stdin: "piped",
  }).spawn();
  const output = folder.stdout.getReader();
  const folderUrl = new TextDecoder().decode((await output.read()).value).trim();
  const env = {
    ...bench.env,
    ...s3.env,
    STORAGE_FOLDER: `${bench.dir}/folder`,
    STORAGE_FOLDER_URL: `${folderUrl}/archive`,
    STORAGE_FOLDER_TOKEN: "folder-token",
  };
  const { path } = await bench.file("a.mp4", SIZE);
  const replicated = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", PROGRAM, JSON.stringify({ path, archive: ARCHIVE, env })],
  }).output();
  const report: { copies: { target: string; directUrl: string }[] } = JSON.parse(
    new TextDecoder().decode(replicated.stdout),
  );
  const file = await Deno.readFile(path);
  const urlOn = (target: string) => report.copies.find((copy) => copy.target === target)!.directUrl;

  await using proxy = await startProxyFixture({
    sign: { context: { archive: true } },
    vars: env,
    origins: [bench.hub.url, bench.hub.cdnUrl, s3.url, folderUrl],
  });
  const assertReadable = async (url: string) => {
    const range = await proxy.get(url, { headers: { range: "bytes=1000-1999" } });
    assert.equal(range.status, 206, await range.clone().text());
    assert.equal(range.headers.get("content-range"), `bytes 1000-1999/${SIZE}`);
    assert.equal(range.headers.get("content-type"), "video/mp4");
    assert.deepEqual(await bytesOf(range), file.slice(1000, 2000));
  };

  for (const target of ["hub:alice", "hub:bob", "s3:bucket", "folder:folder"]) {
    await t.step(`${target}: whole, range, HEAD, 416`, async () => {
      const url = urlOn(target);
      const whole = await proxy.get(url);
      assert.equal(whole.status, 200);
      assert.deepEqual(await bytesOf(whole), file);
      await assertReadable(url);
      const head = await proxy.get(url, { method: "HEAD" });
      assert.equal(head.status, 200);
      assert.equal(head.headers.get("content-length"), String(SIZE));
      const beyond = await proxy.get(url, { headers: { range: `bytes=${SIZE}-` } });
      await beyond.body?.cancel();
      assert.equal(beyond.status, 416);
    });
  }

  await t.step("a commit of an unavailable account → main of another account", async () => {
    bench.hub.user("alice").state = "revoked";
    await using fresh = await startProxyFixture({
      sign: { context: { archive: true } },
      vars: env,
      origins: [bench.hub.url, bench.hub.cdnUrl, s3.url, folderUrl],
    });
    const response = await fresh.get(urlOn("hub:alice"), { headers: { range: "bytes=0-9" } });
    assert.equal(response.status, 206);
    assert.deepEqual(await bytesOf(response), file.slice(0, 10));
  });

  await t.step("both accounts unavailable → S3; missing in S3 → the folder", async () => {
    bench.hub.user("bob").state = "revoked";
    await using fresh = await startProxyFixture({
      sign: { context: { archive: true } },
      vars: env,
      origins: [bench.hub.url, bench.hub.cdnUrl, s3.url, folderUrl],
    });
    const fromS3 = await fresh.get(urlOn("hub:bob"), { headers: { range: "bytes=0-9" } });
    assert.equal(fromS3.status, 206);
    await fromS3.body?.cancel();
    await Deno.remove(`${bench.dir}/s3/bucket`, { recursive: true });
    const fromFolder = await fresh.get(urlOn("s3:bucket"), { headers: { range: "bytes=0-9" } });
    assert.deepEqual(await bytesOf(fromFolder), file.slice(0, 10));
    assert.equal(fromFolder.status, 206);
  });

  await t.step("no copy left → a problem, no credential in link, response or log", async () => {
    await Deno.remove(`${bench.dir}/folder`, { recursive: true });
    await using fresh = await startProxyFixture({
      sign: { context: { archive: true } },
      vars: env,
      origins: [bench.hub.url, bench.hub.cdnUrl, s3.url, folderUrl],
    });
    const response = await fresh.get(urlOn("folder:folder"));
    assert.equal(response.status, 502);
    assert.equal(await codeOf(response), "archive_unauthorized");
    const link = await fresh.link(urlOn("folder:folder"));
    assert.doesNotMatch(link + fresh.worker.output() + proxy.worker.output(), /hf_\w+Token|S3RVER|folder-token/);
  });

  await folder.stdin.close();
  await output.cancel();
  await folder.status;
});
