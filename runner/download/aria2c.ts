/**
 * One aria2c per job, controlled over JSON-RPC on loopback: untrusted text never becomes part of a command line or an input file.
 * Example: `await using aria = await startAria2c({ dir, session, signal })`; `await aria.download(url, { out: "media.bin", … })`.
 * https://aria2.github.io/manual/en/html/aria2c.html#rpc-interface
 */
import { KeepstreamError } from "../../core/errors.ts";
import { redactText } from "../../core/redact.ts";
import { retry } from "../../core/retry.ts";
import { sleep } from "../../core/sleep.ts";
import { CHILD_ENV, kill, lastLines, machineFailure, readTail } from "../process/child.ts";
import type { ProxySession } from "../network/forward_proxy.ts";
import { ARIA2C_START } from "../retry_policies.ts";

/** Poll interval: short near the end of a download. */
const POLL_MS = { least: 5, most: 250 };
const SIGINT_WAIT_MS = 1500;
/** How long a process may take to exit after its RPC connection broke. */
const GONE_WAIT_MS = 2000;

export type Aria2cDownload = {
  readonly out: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly connections: number;
  readonly signal: AbortSignal;
  /** Bytes on disk, total bytes (0 = unknown), bytes per second. */
  readonly onProgress: (done: number, total: number, speed: number) => void;
};

export type Aria2c = AsyncDisposable & {
  readonly download: (url: string, options: Aria2cDownload) => Promise<void>;
  /** The files on disk are not needed: aria2c may exit without saving its control file. */
  readonly forget: () => void;
};

/** aria2's exit codes with a specific meaning. */
const ERROR_CLASS: Readonly<Record<string, ConstructorParameters<typeof KeepstreamError>[0]>> = {
  "2": "timeout",
  "3": "source_expired",
  "5": "timeout",
  "6": "network",
  "9": "disk_full",
  // A file cannot be opened, created or written: no inodes are left, or the disk is broken.
  "15": "disk_full",
  "16": "disk_full",
  "17": "disk_full",
  "19": "network",
  "22": "source_expired",
  "23": "unsupported",
  "24": "source_expired",
  "29": "upstream_5xx",
};

/** aria2 cannot resume: the host changed the file or no longer supports ranges. Start over. */
export class CannotResume extends Error {}

export async function startAria2c(
  options: { dir: string; session: ProxySession; signal: AbortSignal },
): Promise<Aria2c> {
  const secret = crypto.randomUUID();
  const port = freePort();
  const config = `${options.dir}/aria2.conf`;
  const cookies = `${options.dir}/cookies.txt`;
  await Deno.writeTextFile(cookies, options.session.cookies.netscape(), { mode: 0o600 });
  await Deno.writeTextFile(config, configText({ secret, port, cookies, session: options.session }), { mode: 0o600 });
  const child = new Deno.Command("aria2c", {
    args: [`--conf-path=${config}`],
    clearEnv: true,
    env: CHILD_ENV,
    cwd: options.dir,
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const stderr = readTail(child.stderr);
  let saved = false;
  let status: Deno.CommandStatus | null = null;
  const exit = child.status.then((ended) => status = ended);
  const rpc = createRpc(port, secret);
  const whyGone = async (cause: unknown): Promise<KeepstreamError> => {
    await within(GONE_WAIT_MS, exit);
    if (status === null) return new KeepstreamError("unknown", "aria2c does not respond", { cause });
    const words = await stderr;
    return machineFailure("aria2c", status, words) ??
      new KeepstreamError("unknown", `aria2c exited unexpectedly (${status.code}): ${lastLines(words)}`, { cause });
  };
  const stop = async () => {
    if (saved) kill(child, "SIGKILL");
    kill(child, "SIGINT"); // the first one saves the control file, a second one exits immediately, SIGKILL forces
    const timers = [
      setTimeout(() => kill(child, "SIGINT"), SIGINT_WAIT_MS),
      setTimeout(() => kill(child, "SIGKILL"), 2 * SIGINT_WAIT_MS),
    ];
    await exit;
    await stderr;
    timers.forEach(clearTimeout);
    for (const file of [config, cookies]) await Deno.remove(file).catch(() => {});
  };
  try {
    await untilReady(rpc, { signal: options.signal, exited: () => status !== null });
  } catch (error) {
    const failure = status === null || options.signal.aborted ? error : await whyGone(error);
    await stop();
    throw failure;
  }
  return {
    download: async (url, request) => {
      saved = false;
      await download(url, { ...request, dir: options.dir, rpc }).catch(async (error) => {
        request.signal.throwIfAborted();
        // Errors of aria2c and ours have a class; any other error is a broken RPC connection.
        throw error instanceof KeepstreamError || error instanceof CannotResume ? error : await whyGone(error);
      });
      saved = true; // "complete" is reported after the file is closed; a regular exit would take another second
    },
    forget: () => saved = true,
    [Symbol.asyncDispose]: stop,
  };
}

function configText(options: { secret: string; port: number; cookies: string; session: ProxySession }): string {
  const { session } = options;
  return [
    "enable-rpc=true",
    "rpc-listen-all=false",
    `rpc-listen-port=${options.port}`,
    `rpc-secret=${options.secret}`,
    `stop-with-process=${Deno.pid}`,
    `all-proxy=${session.proxyUrl}`,
    `all-proxy-user=${session.username}`,
    `all-proxy-passwd=${session.password}`,
    // A file rather than a header: aria2 would send a header to every host that it is redirected to.
    `load-cookies=${options.cookies}`,
    "no-netrc=true",
    "disable-ipv6=true",
    "follow-metalink=false",
    "follow-torrent=false",
    "enable-dht=false",
    "enable-dht6=false",
    "bt-enable-lpd=false",
    "enable-peer-exchange=false",
    "file-allocation=none",
    "auto-file-renaming=false",
    "allow-overwrite=true",
    "auto-save-interval=1",
    "max-tries=5",
    "retry-wait=1",
    "timeout=8",
    "connect-timeout=8",
    "quiet=true",
    "",
  ].join("\n");
}

async function download(
  url: string,
  options: Aria2cDownload & { readonly dir: string; readonly rpc: Rpc },
): Promise<void> {
  const header = Object.entries(options.headers).map(([name, value]) => `${name}: ${value}`);
  const values = [url, options.out, ...header];
  // RPC values cannot inject options through newlines, but a URL or header has no valid use for them.
  // deno-lint-ignore no-control-regex
  if (values.some((value) => /[\u0000-\u001f\u007f]/.test(value))) {
    throw new KeepstreamError("invalid_input", "a URL or header contains a control character");
  }
  const gid = await options.rpc("addUri", [[url], {
    dir: options.dir,
    out: options.out,
    header,
    continue: "true",
    "always-resume": "true",
    split: String(options.connections),
    "max-connection-per-server": String(options.connections),
    "min-split-size": "1M",
  }], options.signal) as string;
  for (;;) {
    options.signal.throwIfAborted();
    const status = await options.rpc("tellStatus", [gid, STATUS_KEYS], options.signal) as Status;
    const [done = 0, total = 0, speed = 0] = [status.completedLength, status.totalLength, status.downloadSpeed].map(
      Number,
    );
    options.onProgress(done, total, speed);
    if (status.status === "complete") return;
    if (status.status === "error" || status.status === "removed") throw failure(status);
    const secondsLeft = total > 0 && speed > 0 ? (total - done) / speed : 0;
    const wait = Math.min(POLL_MS.most, Math.max(POLL_MS.least, secondsLeft * 100));
    await sleep(wait, options.signal);
  }
}

const STATUS_KEYS = ["status", "completedLength", "totalLength", "downloadSpeed", "errorCode", "errorMessage"];
type Status = {
  status: string;
  completedLength: string;
  totalLength: string;
  downloadSpeed: string;
  errorCode?: string;
  errorMessage?: string;
};

function failure(status: Status): Error {
  const message = `aria2c: ${redactText(status.errorMessage ?? "stopped")} (${status.errorCode ?? "?"})`;
  // An unspecified error with nothing resumed: the control file is damaged, by a full disk or a power failure.
  const unread = status.errorCode === "1" && Number(status.completedLength) === 0;
  if (status.errorCode === "8" || unread) return new CannotResume(message);
  return new KeepstreamError(ERROR_CLASS[status.errorCode ?? ""] ?? "network", message);
}

type Rpc = (method: string, params: readonly unknown[], signal: AbortSignal) => Promise<unknown>;

function createRpc(port: number, secret: string): Rpc {
  return async (method, params, signal) => {
    const response = await fetch(`http://127.0.0.1:${port}/jsonrpc`, {
      method: "POST",
      signal, // an aria2c that is blocked on its disk does not respond
      headers: { "content-type": "application/json" },
      body: JSON.stringify({
        jsonrpc: "2.0",
        id: "1",
        method: `aria2.${method}`,
        params: [`token:${secret}`, ...params],
      }),
    });
    const body = await response.json() as { result?: unknown; error?: { message: string } };
    if (body.error) throw new KeepstreamError("unknown", `aria2c refused ${method}: ${redactText(body.error.message)}`);
    return body.result;
  };
}

async function untilReady(rpc: Rpc, options: { signal: AbortSignal; exited: () => boolean }): Promise<void> {
  const { signal, exited } = options;
  try {
    await retry(() => rpc("getVersion", [], signal), ARIA2C_START, { signal, retryable: () => !exited() });
  } catch (cause) {
    signal.throwIfAborted();
    throw new KeepstreamError("unknown", "aria2c did not start: is aria2 installed?", { cause });
  }
}

/** Waits for the promise, for at most `ms`. */
async function within(ms: number, promise: Promise<unknown>): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  await Promise.race([promise, new Promise((over) => timer = setTimeout(over, ms))]);
  clearTimeout(timer);
}

function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}
