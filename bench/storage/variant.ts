/**
 * One measured run in a separate process: `deno run -A bench/storage/variant.ts '{"kind":"ours",…}'` copies a file to five accounts,
 * either with keepstream or with the Hub's client five times, and prints the costs as one line of JSON.
 */
import { createRepo, uploadFile } from "@huggingface/hub";
import { createHash } from "node:crypto";
import process from "node:process";
import { replicate } from "../../runner/archive/replicate.ts";
import { stageFile } from "../../runner/transfer/staged_file.ts";
import { storageTargetsFromEnv } from "../../runner/storage_targets.ts";

export interface VariantOrder {
  readonly kind: "ours" | "client" | "hash" | "abort";
  readonly path: string;
  readonly malId: number;
  readonly env: Record<string, string>;
}

export interface VariantResult {
  readonly wallSeconds: number;
  readonly cpuSeconds: number;
  /** Peak memory of the process, from the kernel (VmHWM). */
  readonly peakMiB: number;
  /** Bytes that read calls returned, sockets included. */
  readonly readBytes: number;
  readonly sha256s: readonly string[];
  readonly abortMs?: number;
}

const order: VariantOrder = JSON.parse(Deno.args[0] ?? "");
const accounts = Number(order.env.HF_STORAGE_ACCOUNT_COUNT);
const archive = { malId: order.malId, episode: 1, fileKey: "0123456789abcdef0123456789abcdef" };
const startedAt = performance.now();
const before = process.cpuUsage();
let sha256s: string[] = [];
let abortMs: number | undefined;

switch (order.kind) {
  case "ours": {
    const file = await stageFile(order.path);
    const { copies, failures } = await replicate(file, archive, { targets: storageTargetsFromEnv(order.env) });
    if (failures.length > 0) throw new Error(failures[0]!.error.message);
    sha256s = copies.map((copy) => copy.sha256);
    break;
  }
  case "client":
    for (let account = 1; account <= accounts; account++) {
      const username = order.env[`HF_STORAGE_USERNAME_${account}`]!;
      const access = {
        accessToken: order.env[`HF_TOKEN_STORAGE_${account}`]!,
        hubUrl: order.env.HF_ENDPOINT!,
        repo: { type: "dataset" as const, name: `${username}/archive-${order.malId}` },
      };
      await createRepo({ ...access, visibility: "private" });
      const path = `${order.malId}/ep1/${archive.fileKey}.mp4`;
      await uploadFile({ ...access, file: { path, content: new URL(`file://${order.path}`) }, useXet: false });
      sha256s.push("");
    }
    break;
  case "hash": {
    const hash = createHash("sha256");
    using file = await Deno.open(order.path);
    for await (const chunk of file.readable) hash.update(chunk);
    sha256s = [hash.digest("hex")];
    break;
  }
  case "abort": {
    const file = await stageFile(order.path);
    const stop = new AbortController();
    let abortedAt = 0;
    const running = replicate(file, archive, {
      targets: storageTargetsFromEnv(order.env),
      signal: stop.signal,
      onProgress(bytes, total) {
        if (bytes < total / 4 || abortedAt > 0) return;
        abortedAt = performance.now();
        stop.abort(new Error("stop"));
      },
    });
    await running.catch(() => {});
    abortMs = performance.now() - abortedAt;
  }
}

const cpu = process.cpuUsage(before);
const status = await Deno.readTextFile("/proc/self/status");
const io = await Deno.readTextFile("/proc/self/io");
const result: VariantResult = {
  wallSeconds: (performance.now() - startedAt) / 1000,
  cpuSeconds: (cpu.user + cpu.system) / 1e6,
  peakMiB: Number(/VmHWM:\s+(\d+)/.exec(status)?.[1]) / 1024,
  readBytes: Number(/rchar: (\d+)/.exec(io)?.[1]),
  sha256s,
  ...(abortMs === undefined ? {} : { abortMs }),
};
console.log(JSON.stringify(result));
Deno.exit(0);
