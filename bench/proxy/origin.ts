// The source of the measurements, as a separate process that prints its port: /bytes?n=…, and playlists of 10,000 segments in three
// spellings.
export const SEGMENTS = 10_000;

/** The body of /bytes from an offset on: the same mebibyte, repeated. */
export const MEBIBYTE = Uint8Array.from({ length: 1 << 20 }, (_, i) => (i * 2654435761) >>> 13);

export type Spelling = "relative" | "token" | "absolute";

export function playlist(spelling: Spelling, origin: string): string {
  const uri = {
    relative: (i: number) => `segment-${i}.ts`,
    token: (i: number) => `segment-${i}.ts?token=9f8e7d6c5b4a39281706f5e4d3c2b1a0&expires=1767225600`,
    absolute: (i: number) => `${origin}/v/1080p/segment-${i}.ts`,
  }[spelling];
  const lines = ["#EXTM3U", "#EXT-X-VERSION:3", "#EXT-X-TARGETDURATION:4"];
  for (let i = 0; i < SEGMENTS; i++) lines.push("#EXTINF:4.000,", uri(i));
  return [...lines, "#EXT-X-ENDLIST", ""].join("\n");
}

if (import.meta.main) {
  const texts = new Map<string, string>();
  const server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen: ({ port }) => console.log(port) },
    (request) => {
      const url = new URL(request.url);
      if (url.pathname.endsWith(".m3u8")) {
        const spelling = url.searchParams.get("spelling") as Spelling;
        if (!texts.has(spelling)) texts.set(spelling, playlist(spelling, url.origin));
        return new Response(texts.get(spelling)!, { headers: { "content-type": "application/vnd.apple.mpegurl" } });
      }
      const size = Number(url.searchParams.get("n"));
      const headers = {
        "content-type": "video/mp4",
        "content-length": String(size),
        etag: '"v1"',
        "accept-ranges": "bytes",
      };
      if (size <= MEBIBYTE.length) return new Response(MEBIBYTE.subarray(0, size), { headers });
      let left = size;
      const body = new ReadableStream({
        pull(controller) {
          const chunk = MEBIBYTE.subarray(0, Math.min(left, MEBIBYTE.length));
          left -= chunk.length;
          controller.enqueue(chunk);
          if (left === 0) controller.close();
        },
      }, { highWaterMark: 4 });
      return new Response(body, { headers });
    },
  );
  await server.finished;
}
