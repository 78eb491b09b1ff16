/** The port of each part: the documented ones for `deno task dev`, free ones for tests and the demo. */
import { join } from "node:path";
import { SetupError } from "../process/setup_error.ts";

const PORTS_FILE = "ports.json";

/** Gateway and Postgres as with the Supabase CLI, the runner as in a Space, the proxy as with wrangler, the watch page next to it. */
export const FIXED_PORTS = {
  gateway: 54321,
  postgres: 54322,
  runner: 7860,
  proxy: 8787,
  web: 8788,
  hub: 54331,
  hubCdn: 54332,
  origin: 54333,
} as const;

export type Ports = { readonly [part in keyof typeof FIXED_PORTS]: number };

/**
 * The ports to request; 0 is any. A part with port 0 reports the one it got, so two systems cannot choose the same one.
 *
 * @param dataDir where "free" ports are stored: rows of the database contain the URLs of hub and origin
 * @throws {SetupError} port_taken, naming all taken ports.
 */
export async function choosePorts(which: "fixed" | "free", dataDir: string): Promise<Ports> {
  if (which === "fixed") return await fixedPorts();
  const text = await Deno.readTextFile(join(dataDir, PORTS_FILE)).catch(() => "{}");
  const before = JSON.parse(text) as Partial<Ports>;
  const entries = (Object.keys(FIXED_PORTS) as (keyof Ports)[]).map((part) => {
    const port = before[part] ?? 0;
    return [part, isTaken(port) ? 0 : port];
  });
  return Object.fromEntries(entries) as Ports;
}

/** Stores the ports for the next start in this folder. */
export async function rememberPorts(ports: Ports, dataDir: string): Promise<void> {
  await Deno.writeTextFile(join(dataDir, PORTS_FILE), JSON.stringify(ports));
}

/** Returns `ports` if all of them are free. */
export async function fixedPorts(ports: Ports = FIXED_PORTS): Promise<Ports> {
  const taken: string[] = [];
  for (const [part, port] of Object.entries(ports)) {
    if (isTaken(port)) taken.push(`${port} (${part}${await holderOf(port)})`);
  }
  if (taken.length === 0) return ports;
  const what = taken.length === 1 ? "port" : "ports";
  const verb = taken.length === 1 ? "is" : "are";
  throw new SetupError(
    "port_taken",
    `${what} ${taken.join(", ")} ${verb} taken: stop what listens there, then start again`,
  );
}

function isTaken(port: number): boolean {
  try {
    Deno.listen({ hostname: "127.0.0.1", port }).close();
    return false;
  } catch (error) {
    if (error instanceof Deno.errors.AddrInUse) return true;
    throw error;
  }
}

/** `, held by node (pid 123)` if the system reports it. */
async function holderOf(port: number): Promise<string> {
  if (Deno.build.os !== "linux") return "";
  const hex = port.toString(16).toUpperCase().padStart(4, "0");
  const table = await Deno.readTextFile("/proc/net/tcp").catch(() => "");
  const row = table.split("\n").map((line) => line.trim().split(/\s+/)).find((cells) =>
    cells[1]?.endsWith(`:${hex}`) && cells[3] === "0A"
  );
  if (!row) return "";
  for await (const { name } of Deno.readDir("/proc")) {
    if (!/^\d+$/.test(name) || !await holdsSocket(name, row[9]!)) continue;
    const command = await Deno.readTextFile(`/proc/${name}/comm`).catch(() => "");
    return `, held by ${command.trim()}, pid ${name}`;
  }
  return "";
}

async function holdsSocket(pid: string, inode: string): Promise<boolean> {
  try {
    for await (const { name } of Deno.readDir(`/proc/${pid}/fd`)) {
      if (await Deno.readLink(`/proc/${pid}/fd/${name}`).catch(() => "") === `socket:[${inode}]`) return true;
    }
  } catch {
    // another user's process, or ended
  }
  return false;
}
