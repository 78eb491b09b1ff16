/**
 * The origin as a program: `deno run -A dev/emulators/origin/main.ts PORT DIR` prints one JSON line with its URL and media, and stops on
 * SIGTERM.
 */
import { exitOnError } from "../../system/exit_on_error.ts";
import { startOrigin } from "./origin.ts";

const [port = "0", dir = ".keepstream/origin"] = Deno.args;
const origin = await exitOnError(startOrigin({ port: Number(port), dir }));
const media = origin.media.map(({ name, kind, resolution, embedUrl }) => ({ name, kind, resolution, embedUrl }));
console.log(JSON.stringify({ event: "origin:ready", url: origin.url, media }));
for (const signal of ["SIGTERM", "SIGINT"] as const) Deno.addSignalListener(signal, () => void origin.stop());
