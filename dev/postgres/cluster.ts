/**
 * One Postgres cluster on loopback: initdb, start, stop. Each failure is a one-line message.
 * A folder left by kill -9 is reused; an incomplete one is created again.
 */
import { join } from "node:path";
import { SetupError } from "../process/setup_error.ts";
import { readLines, settlesWithin } from "../process/child_process.ts";
import { freePort } from "../process/free_port.ts";
import type { Guard } from "../process/guard.ts";
import type { PostgresBinaries } from "./binaries.ts";
import type { RunAs } from "./home.ts";

const STOP_MS = 10_000;
const READY_LINE = "database system is ready to accept connections";
const SUPERUSER = "supabase_admin";

export interface ClusterOptions {
  readonly dir: string;
  readonly port: number;
  readonly password: string;
  readonly runAs: RunAs | undefined;
  readonly settings: Readonly<Record<string, string>>;
  readonly guard: Guard;
  readonly log: (line: string) => void;
}

export interface Cluster {
  readonly port: number;
  readonly pid: number;
  /** Settles with a description when the server has ended, for any reason. */
  readonly ended: Promise<string>;
  /** Whether the disk was full for the server at some time, which explains later failures. */
  readonly diskFullReason: () => SetupError | undefined;
  stop(): Promise<void>;
}

/** Creates the cluster in `dir/data` if it does not exist. */
export async function initCluster(binaries: PostgresBinaries, options: ClusterOptions): Promise<void> {
  const data = join(options.dir, "data");
  const found = await Deno.stat(data).catch(() => null);
  if (found !== null) return await checkCluster(data, found, options);
  const fresh = join(options.dir, "data.new"); // renamed when complete, so that `data` is never incomplete
  await Deno.remove(fresh, { recursive: true }).catch(() => {});
  await Deno.mkdir(fresh, { recursive: true, mode: 0o700 });
  const passwordFile = join(options.dir, "initdb-password");
  await Deno.writeTextFile(passwordFile, options.password + "\n", { mode: 0o600 });
  if (options.runAs) {
    await Deno.chown(fresh, options.runAs.uid, options.runAs.gid);
    await Deno.chown(passwordFile, options.runAs.uid, options.runAs.gid);
  }
  try {
    const { success, stdout, stderr } = await new Deno.Command(join(binaries.bin, "initdb"), {
      args: [
        ...["-D", fresh, "-U", SUPERUSER, "--pwfile", passwordFile, "-A", "scram-sha-256", "-E", "UTF8"],
        ...["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-sync", "--no-instructions"],
      ],
      ...identity(options.runAs),
    }).output();
    if (!success) {
      const text = new TextDecoder().decode(stderr) + new TextDecoder().decode(stdout);
      throw startError(text.split("\n"), { what: "initdb", dir: options.dir, port: options.port });
    }
    await Deno.rename(fresh, data);
  } finally {
    await Deno.remove(passwordFile).catch(() => {});
    await Deno.remove(fresh, { recursive: true }).catch(() => {});
  }
}

/** Starts the server and waits until it accepts connections. */
export async function startCluster(binaries: PostgresBinaries, options: ClusterOptions): Promise<Cluster> {
  await endOrphan(join(options.dir, "data"), options.log);
  if (options.port !== 0) return await startServer(binaries, options);
  for (let attempt = 1;; attempt++) {
    try {
      return await startServer(binaries, { ...options, port: freePort() });
    } catch (error) { // another program may have taken the port since the check
      if (attempt === 5 || !(error instanceof SetupError && error.code === "port_taken")) throw error;
    }
  }
}

async function startServer(binaries: PostgresBinaries, options: ClusterOptions): Promise<Cluster> {
  const data = join(options.dir, "data");
  const { port } = options;
  const settings = {
    listen_addresses: "127.0.0.1",
    unix_socket_directories: "",
    timezone: "UTC",
    log_timezone: "UTC",
    search_path: '"$user", public, extensions',
    wal_level: "minimal",
    max_wal_senders: "0",
    log_checkpoints: "off",
    jit: "off",
    ...options.settings,
  };
  const child = new Deno.Command(join(binaries.bin, "postgres"), {
    args: [
      "-D",
      data,
      "-p",
      String(port),
      ...Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]),
    ],
    stdin: "null",
    stdout: "null",
    stderr: "piped",
    detached: true, // Ctrl-C in the terminal is handled by the system, which stops its parts in order
    env: { LC_ALL: "C" },
    ...identity(options.runAs),
  }).spawn();
  child.ref();
  options.guard.add(child.pid, "INT");
  const tail: string[] = [];
  let diskFull = false;
  const ready = Promise.withResolvers<boolean>();
  const drained = readLines(child.stderr, (line) => {
    tail.push(line);
    diskFull ||= DISK_FULL.test(line);
    if (tail.length > 20) tail.shift();
    if (line.includes(READY_LINE)) ready.resolve(true);
    if (isWorthShowing(line)) options.log(line.replace(/^\S+ \S+ UTC \[\d+\] /, ""));
  });
  const ended = child.status.then(async (status) => {
    options.guard.remove(child.pid);
    await drained;
    ready.resolve(false);
    return status.signal === null ? `exit code ${status.code}` : status.signal;
  });
  if (!await ready.promise) throw startError(tail, { what: "postgres", dir: options.dir, port });
  const diskFullReason = () => diskFull ? diskFullError(options.dir) : undefined;
  return { port, pid: child.pid, ended, diskFullReason, stop: () => stopChild(child, ended) };
}

async function stopChild(child: Deno.ChildProcess, ended: Promise<string>): Promise<void> {
  for (const signal of ["SIGINT", "SIGQUIT", "SIGKILL"] as const) { // fast, immediate, none
    try {
      child.kill(signal);
    } catch {
      // already ended
    }
    if (await settlesWithin(ended, STOP_MS)) return;
  }
}

/** Stops a server that outlived its parent process and still uses the folder; its data is kept. */
async function endOrphan(data: string, log: (line: string) => void): Promise<void> {
  const text = await Deno.readTextFile(join(data, "postmaster.pid")).catch(() => "");
  const pid = Number(text.split("\n")[0]);
  if (!(pid > 1) || !(await commandLine(pid)).includes(data)) return; // ended, or an unrelated process with the same number
  log(`ending the server (pid ${pid}) that an earlier run left behind`);
  for (const signal of ["SIGINT", "SIGQUIT", "SIGKILL"] as const) {
    Deno.kill(pid, signal);
    for (let waited = 0; waited < STOP_MS; waited += 50) {
      if ((await commandLine(pid)) === "") return;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

async function commandLine(pid: number): Promise<string> {
  if (Deno.build.os === "linux") {
    return await Deno.readTextFile(`/proc/${pid}/cmdline`).then((text) => text.replaceAll("\0", " "), () => "");
  }
  const { stdout } = await new Deno.Command("ps", { args: ["-o", "command=", "-p", String(pid)], stderr: "null" })
    .output();
  return new TextDecoder().decode(stdout).trim();
}

async function checkCluster(data: string, found: Deno.FileInfo, options: ClusterOptions): Promise<void> {
  const owner = options.runAs?.uid ?? Deno.uid();
  if (found.uid !== owner) {
    throw new SetupError(
      "data_folder_foreign",
      `${data} belongs to uid ${found.uid}, Postgres would run as uid ${owner}: start as the user who made it, or delete it`,
    );
  }
  const version = await Deno.readTextFile(join(data, "PG_VERSION")).catch(() => "");
  const control = await Deno.stat(join(data, "global/pg_control")).catch(() => null);
  if (version.trim() !== "17" || control === null) {
    const what = version && version.trim() !== "17"
      ? `made by Postgres ${version.trim()}`
      : "not a complete Postgres 17 cluster";
    throw new SetupError("data_folder_broken", `${data} is ${what}: delete it (rm -rf ${data}) and start again`);
  }
}

const DISK_FULL = /No space left on device|could not (write|extend|resize).*space/i;

function diskFullError(dir: string, cause?: Error): SetupError {
  return new SetupError("disk_full", `no space left for Postgres in ${dir}: free some, then start again`, { cause });
}

function startError(lines: readonly string[], context: { what: string; dir: string; port: number }): SetupError {
  const text = lines.join("\n");
  const cause = new Error(text);
  if (/Address already in use|could not create any TCP\/IP sockets/.test(text)) {
    return new SetupError(
      "port_taken",
      `port ${context.port} (Postgres) is taken: stop the program that listens there`,
      { cause },
    );
  }
  if (DISK_FULL.test(text)) return diskFullError(context.dir, cause);
  if (/error while loading shared libraries: (\S+)/.test(text)) {
    return new SetupError(
      "missing_program",
      `Postgres does not run here: ${lines.find((line) => line.includes("shared libraries"))}`,
      { cause },
    );
  }
  const telling = lines.findLast((line) => /FATAL|PANIC|error:/.test(line)) ?? lines.findLast((line) => line.trim()) ??
    "no output";
  const reason = telling.replace(/^.*?(FATAL|PANIC|error):\s*/, "").trim();
  if (
    /control file|WAL|checkpoint record|lock file|data directory|could not (open|read|access) (file|directory)|invalid contents/i
      .test(text)
  ) {
    const data = join(context.dir, "data");
    return new SetupError("data_folder_broken", `Postgres cannot use ${data} (${reason}): delete it and start again`, {
      cause,
    });
  }
  return new SetupError("part_failed", `${context.what} did not start: ${reason}`, { cause });
}

function isWorthShowing(line: string): boolean {
  return /\b(ERROR|FATAL|PANIC|WARNING):/.test(line) &&
    !line.includes("terminating connection due to administrator command");
}

function identity(runAs: RunAs | undefined): { uid?: number; gid?: number; cwd?: string } {
  return runAs ? { uid: runAs.uid, gid: runAs.gid, cwd: "/" } : {};
}
