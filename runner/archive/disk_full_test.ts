// A disk that is really full (a tmpfs of two megabytes, which needs root): while a folder target copies, and while an upload is journalled.

import assert from "node:assert/strict";
import { createTestHub } from "../../dev/emulators/hub/test_hub.ts";
import { serveFolderFile } from "../targets/folder/folder_files.ts";
import { createFolderTarget } from "../targets/folder/folder_target.ts";
import { createSemaphore } from "../transfer/semaphore.ts";
import { stageFile } from "../transfer/staged_file.ts";
import { StorageError } from "../transfer/storage_error.ts";
import { storageTargetsFromEnv } from "../storage_targets.ts";

const ARCHIVE = { malId: 55825, episode: 1, fileKey: "0123456789abcdef0123456789abcdef" };
const DISK_BYTES = 2 << 20;
const mayMount = Deno.build.os === "linux" && Deno.uid() === 0 && await mounts();

function diskTest(name: string, fn: () => Promise<void>): void {
  const reason = mayMount ? "" : " (skipped: it takes root to mount a tmpfs)";
  Deno.test({ name: `${name}${reason}`, ignore: !mayMount, fn });
}

async function run(program: string, ...args: string[]): Promise<boolean> {
  const command = new Deno.Command(program, { args, stdout: "null", stderr: "null" });
  return (await command.output().catch(() => ({ success: false }))).success; // the program does not exist
}

async function mounts(): Promise<boolean> {
  const dir = await Deno.makeTempDir();
  const works = await run("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", dir);
  if (works) await run("umount", dir);
  await Deno.remove(dir);
  return works;
}

/** A separate disk: `fill` fills it completely, `free` frees it. */
async function smallDisk() {
  const dir = await Deno.makeTempDir({ prefix: "keepstream-disk-" });
  assert.ok(await run("mount", "-t", "tmpfs", "-o", `size=${DISK_BYTES}`, "tmpfs", dir));
  const filler = `${dir}/filler`;
  return {
    dir,
    fill() {
      using file = Deno.openSync(filler, { create: true, append: true });
      assert.throws(() => {
        for (;;) file.writeSync(new Uint8Array(4096));
      }, { code: "ENOSPC" });
    },
    free: () => Deno.removeSync(filler),
    async [Symbol.asyncDispose]() {
      await run("umount", dir);
      await Deno.remove(dir);
    },
  };
}

const folderOn = (root: string) =>
  createFolderTarget({ root, folderName: "folder", baseUrl: "http://x/archive", repoPrefix: "archive", account: 1 });

async function storageErrorFrom(running: Promise<unknown>): Promise<[string, string]> {
  const error = await running.then(() => null, (reason) => reason);
  assert.ok(error instanceof StorageError, `a StorageError, not ${error}`);
  return [error.problem, error.code];
}

diskTest("folder: put on a disk that is full → disk_full, nothing to see; with space again it goes on", async () => {
  await using hub = await createTestHub({ accounts: [] });
  await using disk = await smallDisk();
  const target = folderOn(disk.dir);
  const file = await stageFile((await hub.file("a.mp4", DISK_BYTES - 200_000)).path);
  await Deno.writeFile(`${disk.dir}/filler`, new Uint8Array(1 << 20));
  const location = target.locationOf(ARCHIVE);
  const semaphore = createSemaphore(6);
  assert.deepEqual(await storageErrorFrom(target.put(file, location, { semaphore })), ["quota", "disk_full"]);
  const served = () =>
    serveFolderFile(new Request("http://x/", { headers: { authorization: "Bearer t" } }), {
      root: disk.dir,
      token: "t",
      path: `/archive-55825/${location.path}`,
    });
  assert.equal(await target.find(location), null);
  assert.equal((await served()).status, 404);
  disk.free();
  let first = 0;
  const copy = await target.put(file, location, { semaphore, onProgress: (bytes) => first ||= bytes });
  assert.equal(copy.sha256, file.sha256);
  assert.ok(first > 1 << 20, "what had been copied was not copied again");
  assert.deepEqual(await (await served()).bytes(), await Deno.readFile(file.path));
});

diskTest(
  "folder: put when the disk is full as the hash is to be written → disk_full, no file without its hash",
  async () => {
    await using hub = await createTestHub({ accounts: [] });
    await using disk = await smallDisk();
    const target = folderOn(disk.dir);
    const file = await stageFile((await hub.file("a.mp4", 500_000)).path);
    const location = target.locationOf(ARCHIVE);
    const semaphore = createSemaphore(6);
    const putting = target.put(file, location, {
      semaphore,
      onProgress: (bytes) => bytes === file.sizeBytes && disk.fill(),
    });
    assert.deepEqual(await storageErrorFrom(putting), ["quota", "disk_full"]);
    assert.equal(await target.find(location), null);
    disk.free();
    assert.equal((await target.put(file, location, { semaphore })).alreadyThere, false);
    assert.equal((await target.find(location))?.sha256, file.sha256);
  },
);

diskTest(
  "hub: put whose journal meets a full disk half-way → a line cut short is not believed, the file is stored whole",
  async () => {
    await using hub = await createTestHub({ accounts: ["alice"] });
    await using disk = await smallDisk();
    const path = `${disk.dir}/a.mp4`;
    await Deno.copyFile((await hub.file("a.mp4", 1_500_000)).path, path); // six parts
    const file = await stageFile(path);
    const target = storageTargetsFromEnv(hub.env, { times: { attempts: 1, backoffMs: 1 } })[0]!;
    const location = target.locationOf(ARCHIVE);
    const stop = new AbortController();
    let full = false;
    // Full from the start. The runner is stopped before it finishes, and resumes from the journal.
    const cut = target.put(file, location, {
      semaphore: createSemaphore(6),
      signal: stop.signal,
      onProgress(bytes) {
        if (bytes > 0 && !full) disk.fill();
        full ||= bytes > 0;
        if (bytes > 1_000_000) stop.abort(new Error("stopping"));
      },
    });
    await assert.rejects(cut, /stopping/);
    assert.ok(full);
    assert.equal(await target.find(location), null);
    const copy = await target.put(file, location, { semaphore: createSemaphore(6) });
    assert.equal(copy.sha256, file.sha256);
    assert.deepEqual(await new Response(await target.read(location)).bytes(), await Deno.readFile(path));
    assert.equal(hub.countCalls("commit"), 1);
  },
);
