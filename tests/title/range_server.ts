/** Serves a directory with byte ranges, and counts the GET requests for media and their bytes. */
const TYPES: Readonly<Record<string, string>> = {
  html: "text/html",
  js: "text/javascript",
  m3u8: "application/vnd.apple.mpegurl",
  mp4: "video/mp4",
  vtt: "text/vtt",
};
const PIECE_BYTES = 1 << 16;

export interface RangeServer extends AsyncDisposable {
  readonly url: string;
  readonly seen: { requests: number; bytes: number };
}

/** `others`: further files by name. */
export function startRangeServer(dir: string, others: Readonly<Record<string, string>> = {}): RangeServer {
  const seen = { requests: 0, bytes: 0 };
  const stop = new AbortController();
  const server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen: () => {}, signal: stop.signal },
    async (request) => {
      const name = new URL(request.url).pathname.slice(1);
      const file = await Deno.open(others[name] ?? `${dir}/${name.replace(/[^\w.]/g, "")}`).catch(() => null);
      if (file === null) return new Response(null, { status: 404 });
      const { size } = await file.stat();
      const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.get("range") ?? "");
      const from = Number(range?.[1] ?? 0);
      const to = Math.min(size - 1, range?.[2] ? Number(range[2]) : size - 1);
      const isMedia = name.endsWith(".mp4");
      if (isMedia && request.method === "GET") seen.requests++;
      const headers = new Headers({
        "accept-ranges": "bytes",
        "content-length": String(Math.max(0, to - from + 1)),
        "content-type": TYPES[name.split(".").at(-1)!] ?? "application/octet-stream",
        ...(range === null ? {} : { "content-range": `bytes ${from}-${to}/${size}` }),
      });
      if (from >= size) {
        file.close();
        return new Response(null, { status: 416, headers: { "content-range": `bytes */${size}` } });
      }
      const body = pieces(file, { from, bytes: to - from + 1 }, (bytes) => isMedia && (seen.bytes += bytes));
      return new Response(request.method === "HEAD" ? null : body, { status: range === null ? 200 : 206, headers });
    },
  );
  return {
    url: `http://127.0.0.1:${server.addr.port}`,
    seen,
    [Symbol.asyncDispose]: async () => {
      stop.abort();
      await server.finished;
    },
  };
}

function pieces(
  file: Deno.FsFile,
  { from, bytes }: { from: number; bytes: number },
  onBytes: (bytes: number) => void,
): ReadableStream<Uint8Array> {
  let [left, started, closed] = [bytes, false, false];
  const close = () => {
    if (!closed) file.close();
    closed = true;
  };
  return new ReadableStream({
    async pull(controller) {
      if (!started) await file.seek(from, Deno.SeekMode.Start);
      started = true;
      const buffer = new Uint8Array(Math.min(left, PIECE_BYTES));
      const read = left === 0 ? null : await file.read(buffer);
      if (read === null) {
        close();
        return controller.close();
      }
      left -= read;
      onBytes(read);
      controller.enqueue(buffer.subarray(0, read));
    },
    cancel: close,
  }, { highWaterMark: 0 });
}
