/**
 * A file as a video host serves it: HEAD, a single Range, If-Range, If-None-Match, ETag, and a paced body.
 * Example: `Range: bytes=0-99` → 206 with 100 bytes, at most `bytesPerSecond`.
 */
const CHUNK_BYTES = 64 * 1024;
const TYPES: Record<string, string> = {
  mp4: "video/mp4",
  m3u8: "application/vnd.apple.mpegurl",
  ts: "video/mp2t",
  m4s: "video/iso.segment",
  vtt: "text/vtt",
  bin: "application/octet-stream",
};

export type Pace = { readonly bytesPerSecond: number | null };

export async function fileResponse(request: Request, path: string, pace: Pace): Promise<Response> {
  const file = await Deno.open(path).catch(() => null);
  if (file === null) return new Response("not found", { status: 404 });
  const info = await file.stat();
  if (!info.isFile) {
    file.close();
    return new Response("not found", { status: 404 });
  }
  const etag = `"${info.size.toString(16)}-${(info.mtime?.getTime() ?? 0).toString(16)}"`;
  const headers = new Headers({
    "content-type": TYPES[path.split(".").at(-1) ?? ""] ?? "application/octet-stream",
    "accept-ranges": "bytes",
    etag,
    "last-modified": (info.mtime ?? new Date(0)).toUTCString(),
  });
  if (request.headers.get("if-none-match") === etag) {
    return closeAnd(file, new Response(null, { status: 304, headers }));
  }
  const ifRange = request.headers.get("if-range");
  const wanted = ifRange === null || ifRange === etag ? request.headers.get("range") : null;
  const range = wanted === null ? null : parseSingleRange(wanted, info.size);
  if (range === "unsatisfiable") {
    headers.set("content-range", `bytes */${info.size}`);
    headers.delete("content-type");
    return closeAnd(file, new Response(null, { status: 416, headers }));
  }
  const { start, end } = range ?? { start: 0, end: info.size - 1 };
  headers.set("content-length", String(end - start + 1));
  if (range) headers.set("content-range", `bytes ${start}-${end}/${info.size}`);
  const status = range ? 206 : 200;
  if (request.method === "HEAD") return closeAnd(file, new Response(null, { status, headers }));
  await file.seek(start, Deno.SeekMode.Start);
  return new Response(pacedBody(file, end - start + 1, pace), { status, headers });
}

/** One `bytes=a-b`, `a-` or `-n`; several ranges and other units are ignored (null = the whole file), as RFC 9110 allows. */
function parseSingleRange(header: string, size: number): { start: number; end: number } | "unsatisfiable" | null {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header);
  if (!match || (match[1] === "" && match[2] === "")) return null;
  if (match[1] === "") {
    const length = Number(match[2]);
    return length === 0 ? "unsatisfiable" : { start: Math.max(0, size - length), end: size - 1 };
  }
  const start = Number(match[1]);
  const end = match[2] === "" ? size - 1 : Math.min(Number(match[2]), size - 1);
  if (start >= size) return "unsatisfiable";
  return start > end ? null : { start, end };
}

function closeAnd(file: Deno.FsFile, response: Response): Response {
  file.close();
  return response;
}

/** Reads `length` bytes from the file's position. The n-th byte leaves at the earliest n / bytesPerSecond after the first. */
function pacedBody(file: Deno.FsFile, length: number, pace: Pace): ReadableStream<Uint8Array> {
  let sent = 0;
  const startedAt = performance.now();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let wake: (() => void) | undefined;
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      if (pace.bytesPerSecond !== null) {
        const wait = startedAt + (sent / pace.bytesPerSecond) * 1000 - performance.now();
        if (wait > 1) {
          await new Promise<void>((done) => {
            wake = done;
            timer = setTimeout(done, wait);
          });
        }
      }
      const buffer = new Uint8Array(Math.min(CHUNK_BYTES, length - sent));
      const read = buffer.length === 0 ? null : await file.read(buffer);
      if (read !== null) controller.enqueue(buffer.subarray(0, read));
      sent += read ?? 0;
      if (sent >= length || read === null) {
        file.close();
        controller.close();
      }
    },
    cancel() {
      clearTimeout(timer);
      wake?.();
      try {
        file.close();
      } catch {
        // already closed by the last pull
      }
    },
  }, { highWaterMark: 0 });
}
