/** A port of this machine that nobody listens on right now. */

/** Below the range that Linux and macOS take the near end of outgoing connections from. */
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
