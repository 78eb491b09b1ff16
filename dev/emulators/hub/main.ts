// The hub as a program: `HUB_USERS=alice=hf_a,bob=hf_b deno run -A dev/emulators/hub/main.ts --dir .keepstream/hub --port 5000`. Tokens come
// from the environment, because all users of the machine can read arguments. Prints one JSON line with its URLs when ready.

import { parseArgs } from "node:util";
import { exitOnError } from "../../system/exit_on_error.ts";
import { startHub } from "./hub.ts";

const { values } = parseArgs({
  args: Deno.args,
  options: {
    dir: { type: "string" },
    port: { type: "string", default: "0" },
    "cdn-port": { type: "string", default: "0" },
    "chunk-bytes": { type: "string" },
    discard: { type: "boolean", default: false },
    breakable: { type: "boolean", default: false },
  },
});
if (!values.dir) throw new Error("--dir DIRECTORY is missing");
const hub = await exitOnError(startHub({
  dir: values.dir,
  port: Number(values.port),
  cdnPort: Number(values["cdn-port"]),
  users: (Deno.env.get("HUB_USERS") ?? "").split(",").filter(Boolean).map((entry) => {
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
