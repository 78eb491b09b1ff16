/**
 * cf-proxy in real workerd as a program: `WORKER_VARS='{"STREAM_SIGNING_KEYS":"k1:…"}' deno run -A dev/workerd_main.ts 8787`.
 * Prints one JSON line when it answers, then what the Worker writes; ends on SIGTERM, or with workerd.
 */
import { orEnd } from "./or_end.ts";
import { startWorker } from "./workerd.ts";

const encoder = new TextEncoder();
const worker = await orEnd(startWorker({
  port: Number(Deno.args[0] ?? "0"),
  vars: JSON.parse(Deno.env.get("WORKER_VARS") ?? "{}"),
  allowedOrigins: (Deno.env.get("WORKER_ALLOWED_ORIGINS") ?? "").split(",").filter(Boolean),
  onOutput: (text) => void Deno.stderr.writeSync(encoder.encode(text)),
}));
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  Deno.addSignalListener(signal, () => void worker.stop().then(() => Deno.exit(0)));
}
console.log(JSON.stringify({ event: "proxy:ready", url: worker.url }));
const { signal, code } = await worker.ended;
await worker.stop();
console.error(`workerd ended (${signal ?? `exit code ${code}`})`);
Deno.exit(1);
