/**
 * cf-proxy in real workerd as a program: `WORKER_VARS='{"STREAM_SIGNING_KEYS":"k1:…"}' deno run -A dev/workerd_main.ts 8787`.
 * Prints one JSON line when it answers, and ends on SIGTERM.
 */
import { startWorker } from "./workerd.ts";

const worker = await startWorker({
  port: Number(Deno.args[0] ?? "0"),
  vars: JSON.parse(Deno.env.get("WORKER_VARS") ?? "{}"),
  allowedOrigins: (Deno.env.get("WORKER_ALLOWED_ORIGINS") ?? "").split(",").filter(Boolean),
});
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  Deno.addSignalListener(signal, () => void worker.stop().then(() => Deno.exit(0)));
}
console.log(JSON.stringify({ event: "proxy:ready", url: worker.url }));
