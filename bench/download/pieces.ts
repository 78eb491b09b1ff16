/**
 * Parts of the runner at full speed, each in a separate process: `pieces.ts mega|proxy|verify`. Prints one JSON line.
 * mega: 8 connections through the forward proxy, decrypted, MAC checked. proxy: curl of a local file, alternating between direct, through
 * the proxy, and through a tunnel. verify: read every packet, check timestamps, move moov, SHA-256.
 */
import { finishFile } from "../../runner/job/finish_file.ts";
import { Progress } from "../../runner/job/progress.ts";
import { openJobDir } from "../../runner/work_dir/work_dir.ts";
import { downloadMega } from "../../runner/download/mega.ts";
import { chunkMac, decryptAt, importMegaKey, megaChunks } from "../../runner/download/mega_crypto.ts";
import { startForwardProxy } from "../../runner/network/forward_proxy.ts";
import { createGuardedFetch } from "../../runner/network/guarded_fetch.ts";
import { startHost, UNCAPPED } from "./link_profile.ts";
import { MEDIA_DIR } from "./media.ts";

const signal = new AbortController().signal;
const dir = await Deno.makeTempDir({ prefix: "keepstream-bench-" });
const pieces = { mega, proxy, verify };
console.log(JSON.stringify(await pieces[Deno.args[0] as keyof typeof pieces]()));
await Deno.remove(dir, { recursive: true });
Deno.exit(0);

async function mega() {
  const { key, sizeBytes, name } = await encryptForMega();
  const host = await startHost(UNCAPPED);
  await using proxy = startForwardProxy();
  const policy = { allowedOrigins: [host.url] };
  const session = proxy.openSession({ policy, maxBytes: 4e9 });
  const startedAt = performance.now();
  await downloadMega({ url: `${host.url}/${name}`, sizeBytes }, {
    fetch: createGuardedFetch(session),
    policy,
    headers: {},
    signal,
    path: `${dir}/mega.bin`,
    key,
    connections: 8,
    resolveAgain: () => Promise.reject(new Error("not expected")),
    onProgress: () => {},
  });
  const seconds = (performance.now() - startedAt) / 1000;
  session.close();
  await host.stop();
  return { seconds, bytes: sizeBytes, megabytes_per_second: sizeBytes / seconds / 1e6 };
}

/** The benchmark's MP4 as mega stores it: AES-CTR, and the condensed MAC of all chunks in the key. */
async function encryptForMega(): Promise<{ key: string; sizeBytes: number; name: string }> {
  const clear = await Deno.readFile(`${MEDIA_DIR}/mp4.mp4`);
  const aes = crypto.getRandomValues(new Uint8Array(16));
  const nonce = crypto.getRandomValues(new Uint8Array(8));
  const keyWith = (mac: Uint8Array) => {
    const tail = new Uint8Array([...nonce, ...mac]);
    return new Uint8Array([...aes.map((byte, i) => byte ^ tail[i]!), ...tail])
      .toBase64({ alphabet: "base64url", omitPadding: true });
  };
  const withoutMac = (await importMegaKey(keyWith(new Uint8Array(8))))!;
  const macs = await Promise.all(
    megaChunks(clear.length).map(({ offset, length }) => chunkMac(clear.slice(offset, offset + length), withoutMac)),
  );
  const joined = new Uint8Array(macs.flatMap((mac) => [...mac]));
  const chained = await crypto.subtle.encrypt({ name: "AES-CBC", iv: new Uint8Array(16) }, withoutMac.cbc, joined);
  const last = new Uint8Array(chained).subarray(joined.length - 16, joined.length);
  const mac = Uint8Array.from({ length: 8 }, (_, i) => last[i < 4 ? i : i + 4]! ^ last[i < 4 ? i + 4 : i + 8]!);
  await Deno.writeFile(`${MEDIA_DIR}/mega.bin`, await decryptAt(clear, 0, withoutMac)); // counter mode: encrypting is the same as decrypting
  return { key: keyWith(mac), sizeBytes: clear.length, name: "mega.bin" };
}

async function proxy() {
  const host = await startHost(UNCAPPED);
  await using proxy = startForwardProxy();
  const origins = [host.url, host.url.replace("http:", "https:")];
  const session = proxy.openSession({ policy: { allowedOrigins: origins }, maxBytes: 1e12 });
  const through = ["-x", session.proxyUrl.replace("//", `//${session.username}:${session.password}@`)];
  const ways = { direct: [], proxy: through, tunnel: [...through, "-p"] };
  const speeds: Record<string, number[]> = { direct: [], proxy: [], tunnel: [] };
  for (let i = 0; i < 5; i++) {
    for (const [way, args] of Object.entries(ways)) {
      const { stdout } = await new Deno.Command("curl", {
        args: ["-s", "-f", "-o", "/dev/null", "-w", "%{speed_download}", ...args, `${host.url}/mp4.mp4`],
      }).output();
      speeds[way]!.push(Math.round(Number(new TextDecoder().decode(stdout)) / 1e6));
    }
  }
  session.close();
  await host.stop();
  return { megabytes_per_second: speeds };
}

async function verify() {
  const input = `${dir}/input.mp4`;
  await Deno.copyFile(`${MEDIA_DIR}/mp4.mp4`, input);
  const jobDir = await openJobDir(dir, crypto.randomUUID());
  const expected = { videoTracks: 1, audioTracks: 1, subtitleTracks: 0 };
  const startedAt = performance.now();
  const { final } = await finishFile(input, { format: "mov", expected }, {
    dir: jobDir,
    signal,
    progress: new Progress(() => performance.now()),
    onPhase: () => {},
    fileKey: "bench",
    archive: { form: "auto", segmentSeconds: 6 },
  });
  return { seconds: (performance.now() - startedAt) / 1000, bytes: final.sizeBytes };
}
