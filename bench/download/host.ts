/** The media host as a separate process: `host.ts CONNECT_MS LATENCY_MS BYTES_PER_SECOND|0` prints its port. */
import { fileResponse } from "../../dev/emulators/origin/file_response.ts";
import { MEDIA_DIR } from "./media.ts";

const [connectMs = 0, latencyMs = 0, bytesPerSecond = 0] = Deno.args.map(Number);
const seen = new Set<number>();
const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, async (request, info) => {
  const ms = latencyMs + (seen.has(info.remoteAddr.port) ? 0 : connectMs);
  seen.add(info.remoteAddr.port);
  if (ms > 0) await new Promise((done) => setTimeout(done, ms));
  return await fileResponse(request, `${MEDIA_DIR}${new URL(request.url).pathname}`, {
    bytesPerSecond: bytesPerSecond || null,
  });
});
console.log(server.addr.port);
