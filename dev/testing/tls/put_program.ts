// One PUT over the runner's own connection, as a separate program, because trusted certificates are configured at start (DENO_CERT).
// Prints the status, or the error. Example: `deno run -A dev/testing/tls/put_program.ts https://localhost:8443/part a.bin`.

import { PartSocket } from "../../../runner/transfer/part_socket.ts";

const [url = "", path = ""] = Deno.args;
using socket = new PartSocket();
const range = { path, start: 0, end: (await Deno.stat(path)).size };
try {
  const options = { buffer: new Uint8Array(1 << 16), idleTimeoutMs: 20_000, onBytes: () => {} };
  const responses = [await socket.put(url, range, options), await socket.put(url, range, options)];
  console.log(JSON.stringify({ statuses: responses.map((response) => response.status) }));
} catch (error) {
  console.log(JSON.stringify({ error: error instanceof Error ? error.message : String(error) }));
}
