// A system killed with -9 keeps its ports until its guard has ended its parts, up to ten seconds.
import { isAlive } from "./process_alive.ts";
import { SetupError } from "./setup_error.ts";

const LIMIT_MS = 15_000;
const AGAIN_MS = 100;

/** Retries while a port is taken and one of the abandoned processes still runs. @throws {SetupError} port_taken */
export async function afterAbandoned<T>(
  choose: () => Promise<T>,
  { pids, log }: { readonly pids: readonly number[]; readonly log: (part: string, line: string) => void },
): Promise<T> {
  const deadline = performance.now() + LIMIT_MS;
  let logged = false;
  for (;;) {
    const ending = pids.some(isAlive); // checked before the attempt, because a process that ends during it may have used the port
    try {
      return await choose();
    } catch (error) {
      const waits = ending && error instanceof SetupError && error.code === "port_taken";
      if (!waits || performance.now() > deadline) throw error;
    }
    if (!logged) log("dev", "waiting for the ports of a killed system, which is still ending");
    logged = true;
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
  }
}
