/** A port of this machine that is currently free. */

/** Below the range from which Linux and macOS take ports of outgoing connections. */
const LOWEST = 20_000;
const HIGHEST = 32_000;

export function freePort(): number {
  while (true) {
    const port = LOWEST + Math.floor(Math.random() * (HIGHEST - LOWEST));
    try {
      Deno.listen({ hostname: "127.0.0.1", port }).close();
      return port;
    } catch (error) {
      if (!(error instanceof Deno.errors.AddrInUse)) throw error;
    }
  }
}
