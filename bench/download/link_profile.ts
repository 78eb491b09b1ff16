/** Link profiles: bandwidth and latency of the emulated network, and a media host that applies them in a separate process. */
export type LinkProfile = { readonly connectMs: number; readonly latencyMs: number; readonly bytesPerSecond: number };

/** `bytesPerSecond` applies to each connection. A new connection costs `connectMs`, every response `latencyMs`. */
export const C1: LinkProfile = { connectMs: 100, latencyMs: 50, bytesPerSecond: 4_000_000 };
export const UNCAPPED: LinkProfile = { connectMs: 0, latencyMs: 0, bytesPerSecond: 0 };

export type Host = { readonly url: string; readonly pid: number; readonly stop: () => Promise<void> };

export async function startHost(profile: LinkProfile): Promise<Host> {
  const { connectMs, latencyMs, bytesPerSecond } = profile;
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "-A", new URL("host.ts", import.meta.url).pathname]
      .concat([connectMs, latencyMs, bytesPerSecond].map(String)),
    stdout: "piped",
  }).spawn();
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const { value } = await reader.read();
  return {
    url: `http://127.0.0.1:${value!.trim()}`,
    pid: child.pid,
    stop: async () => {
      child.kill("SIGKILL");
      await reader.cancel();
      await child.status;
    },
  };
}
