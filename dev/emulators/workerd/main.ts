/**
 * cf-proxy or web in real workerd as a program:
 * `WORKER_VARS='{"STREAM_SIGNING_KEYS":"k1:…"}' deno run -A dev/emulators/workerd/main.ts cf-proxy 8787`.
 * Prints one JSON line when ready, then the Worker's output; ends on SIGTERM, or with workerd.
 */
import { exitOnError } from "../../system/exit_on_error.ts";
import { startWorker, type WorkerName } from "./workerd.ts";

const [name = "cf-proxy", port = "0"] = Deno.args;
const encoder = new TextEncoder();
const worker = await exitOnError(startWorker({
  worker: name as WorkerName,
  port: Number(port),
  vars: JSON.parse(Deno.env.get("WORKER_VARS") ?? "{}"),
  allowedOrigins: (Deno.env.get("WORKER_ALLOWED_ORIGINS") ?? "").split(",").filter(Boolean),
  onOutput: (text) => void Deno.stderr.writeSync(encoder.encode(text)),
}));
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  Deno.addSignalListener(signal, () => void worker.stop().then(() => Deno.exit(0)));
}
console.log(JSON.stringify({ event: "worker:ready", url: worker.url }));
const { signal, code } = await worker.ended;
await worker.stop();
console.error(`workerd ended (${signal ?? `exit code ${code}`})`);
Deno.exit(1);
