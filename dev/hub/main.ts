// The hub as a program: `deno run -A dev/hub/main.ts --dir .keepstream/hub --port 5000 --user alice=hf_a [--user bob=hf_b]`.
// Prints one JSON line with its addresses when it is ready. Runs on: Deno.

import { parseArgs } from "node:util";
import { orEnd } from "../or_end.ts";
import { startHub } from "./hub.ts";

const { values } = parseArgs({
  args: Deno.args,
  options: {
    dir: { type: "string" },
    port: { type: "string", default: "0" },
    "cdn-port": { type: "string", default: "0" },
    user: { type: "string", multiple: true, default: [] },
    "chunk-bytes": { type: "string" },
    discard: { type: "boolean", default: false },
    breakable: { type: "boolean", default: false },
  },
});
if (!values.dir) throw new Error("--dir DIRECTORY is missing");
const hub = await orEnd(startHub({
  dir: values.dir,
  port: Number(values.port),
  cdnPort: Number(values["cdn-port"]),
  users: values.user.map((entry) => {
    const [name = "", token = ""] = entry.split("=");
    return { name, token };
  }),
  chunkBytes: values["chunk-bytes"] ? Number(values["chunk-bytes"]) : undefined,
  discardBytes: values.discard,
  breakable: values.breakable,
}));
console.log(JSON.stringify({ url: hub.url, cdnUrl: hub.cdnUrl }));
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  Deno.addSignalListener(signal, () => void hub.stop().then(() => Deno.exit(0)));
}
