/**
 * The data folder of a system: one system at a time (a lock that is released when its process ends), its secrets, its
 * last ports, and a file that describes the running system to other programs.
 */
import { join } from "node:path";
import { makeProjectKeys, type ProjectKeys } from "../emulators/supabase/keys.ts";
import { SetupError } from "../process/setup_error.ts";
import { releaseLock } from "../../runner/work_dir/file_lock.ts";

const SECRETS_FILE = "secrets.json";
/** Default data folder of `deno task dev`. */
export const DEFAULT_DATA_DIR = new URL("../../.keepstream/dev", import.meta.url).pathname;

const STATE_FILE = "running.json";

/** Secrets of one data folder; random, created once, readable by their owner only. */
export interface Secrets {
  readonly keys: ProjectKeys;
  readonly streamSigningKeys: string;
  readonly runnerWebhookSecret: string;
  readonly fileSalt: string;
  /** The accounts of the hub emulator that copies are stored in. */
  readonly accounts: readonly StorageAccount[];
}

export interface StorageAccount {
  readonly name: string;
  readonly token: string;
}

export interface DataFolder {
  readonly dir: string;
  readonly secrets: Secrets;
  /** Processes of a previous system that was killed; its guard is ending them. */
  readonly abandoned: readonly number[];
  /** Writes `running.json`, until `release`. */
  announce(state: unknown): Promise<void>;
  release(): Promise<void>;
}

/** @throws {SetupError} already_running if another system uses the folder. */
export async function openDataFolder(dir: string): Promise<DataFolder> {
  const path = await makeFolder(dir);
  const lock = await Deno.open(join(path, "lock"), { create: true, write: true, read: true });
  if (!await lock.tryLock(true)) {
    lock.close();
    const running = await readState<{ pid?: number }>(path);
    const who = running?.pid ? ` (pid ${running.pid})` : "";
    throw new SetupError("already_running", `keepstream already runs in ${path}${who}: stop it there, or use that one`);
  }
  try {
    const secrets = await readOrMakeSecrets(path);
    const before = await readState<{ processes?: Record<string, number> }>(path).catch(() => null);
    return {
      abandoned: Object.values(before?.processes ?? {}),
      dir: path,
      secrets,
      announce: (state) => writePrivately(join(path, STATE_FILE), JSON.stringify(state, null, 2)),
      async release() {
        await Deno.remove(join(path, STATE_FILE)).catch(() => {}); // it was never written
        releaseLock(lock);
      },
    };
  } catch (error) {
    releaseLock(lock);
    throw error;
  }
}

/** What the system that runs in `dir` has written to running.json, or null if none runs there. */
export async function readRunning<T>(dir: string): Promise<T | null> {
  const lock = await Deno.open(join(dir, "lock"), { write: true }).catch(() => null);
  if (lock === null) return null;
  const free = await lock.tryLock(true).finally(() => releaseLock(lock));
  return free ? null : await readState<T>(dir);
}

async function makeFolder(dir: string): Promise<string> {
  try {
    await Deno.mkdir(dir, { recursive: true, mode: 0o755 });
    return await Deno.realPath(dir);
  } catch (cause) {
    throw new SetupError("data_folder_broken", `cannot use the data folder ${dir}: ${(cause as Error).message}`, {
      cause,
    });
  }
}

async function readOrMakeSecrets(dir: string): Promise<Secrets> {
  const file = join(dir, SECRETS_FILE);
  const text = await Deno.readTextFile(file).catch(() => null);
  if (text !== null) {
    try {
      return JSON.parse(text) as Secrets;
    } catch (cause) {
      throw new SetupError("data_folder_broken", `${file} is not readable: start with --reset`, { cause });
    }
  }
  const secrets: Secrets = {
    keys: makeProjectKeys(),
    streamSigningKeys: `dev1:${random(32)}`,
    runnerWebhookSecret: `whsec_${crypto.getRandomValues(new Uint8Array(32)).toBase64()}`,
    fileSalt: random(24),
    accounts: ["keeper-one", "keeper-two"].map((name) => ({
      name,
      token: `hf_${random(24).replaceAll(/[-_]/g, "x")}`,
    })),
  };
  await writePrivately(file, JSON.stringify(secrets, null, 2));
  return secrets;
}

async function readState<T>(dir: string): Promise<T | null> {
  const text = await Deno.readTextFile(join(dir, STATE_FILE)).catch(() => null);
  return text === null ? null : JSON.parse(text) as T;
}

/** Appears completely and with mode 0600, or not at all. */
async function writePrivately(file: string, text: string): Promise<void> {
  const fresh = `${file}.new`;
  await Deno.remove(fresh).catch(() => {});
  try {
    await Deno.writeTextFile(fresh, text, { mode: 0o600, createNew: true });
    await Deno.rename(fresh, file);
  } catch (cause) {
    if (!/os error 28|no space/i.test(String(cause))) throw cause;
    throw new SetupError("disk_full", `no space left for ${file}: free some, then start again`, { cause });
  }
}

function random(bytes: number): string {
  return crypto.getRandomValues(new Uint8Array(bytes)).toBase64({ alphabet: "base64url", omitPadding: true });
}
