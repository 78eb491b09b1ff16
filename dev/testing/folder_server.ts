// Serves a storage folder like a runner does: `FOLDER_TOKEN=… deno run -A dev/testing/folder_server.ts <folder>`.
// Prints its URL, and ends with its standard input.

import { serveFolderFile } from "../../runner/targets/folder/folder_files.ts";

const [root = ""] = Deno.args;
const token = Deno.env.get("FOLDER_TOKEN") ?? "";
const server = Deno.serve({
  hostname: "127.0.0.1",
  port: 0,
  onListen: ({ port }) => console.log(`http://127.0.0.1:${port}`),
}, (request) => {
  const path = new URL(request.url).pathname.replace(/^\/archive/, "");
  return serveFolderFile(request, { root, token, path });
});
await Deno.stdin.readable.pipeTo(new WritableStream());
await server.shutdown();
