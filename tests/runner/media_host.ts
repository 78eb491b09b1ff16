/**
 * A host with any number of different videos: copies of one clip that differ in the encoder's name (MP4) or a subtitle (HLS), so that no
 * upload finds its bytes stored already. Example: `host.video(3)` → { video_url, resolution }. Needs ffmpeg.
 */
import { playlistOf, readClip } from "../../dev/emulators/origin/clip.ts";
import { ranged } from "../../dev/testing/fetch_fixture.ts";

const PIECE_BYTES = 16 * 1024;
/** What x264 writes into its first sample. */
const ENCODER = "videolan";

export type MediaHost = AsyncDisposable & {
  readonly url: string;
  readonly video: (n: number) => { readonly video_url: string; readonly resolution: string };
};

/** Every response is paced: a whole MP4, or a segment, takes `seconds`. */
export async function startMediaHost(options: { seconds: number }): Promise<MediaHost> {
  const clip = await readClip();
  const mp4 = await Deno.readFile(`${clip.dir}/other.mp4`);
  const names = clip.ts.map((_, i) => `s${i}.ts`);
  const master = [
    "#EXTM3U",
    '#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="s",NAME="English",LANGUAGE="en",URI="subs.m3u8"',
    '#EXT-X-STREAM-INF:BANDWIDTH=600000,RESOLUTION=320x180,SUBTITLES="s"',
    "v.m3u8",
  ].join("\n");

  function response(request: Request): Response | Promise<Response> {
    const [n = "", name = ""] = new URL(request.url).pathname.slice(1).split("/");
    switch (name) {
      case "a.mp4":
        return paced(ranged(request, encodedBy(mp4, n), { etag: `"${n}"` }), mp4.length / options.seconds);
      case "master.m3u8":
        return new Response(master);
      case "v.m3u8":
        return new Response(playlistOf(names));
      case "subs.m3u8":
        return new Response("#EXTM3U\n#EXT-X-TARGETDURATION:12\n#EXTINF:12,\nen.vtt\n#EXT-X-ENDLIST\n");
      case "en.vtt":
        return new Response(`WEBVTT\n\n00:00:01.000 --> 00:00:03.000\nEpisode ${n}\n`);
    }
    const index = names.indexOf(name);
    if (index === -1) return new Response(null, { status: 404 });
    return paced(new Response(clip.ts[index]!), clip.ts[index]!.length / options.seconds);
  }

  const server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen: () => {}, onError: () => new Response() },
    response,
  );
  const url = `http://127.0.0.1:${server.addr.port}`;
  return {
    url,
    video: (n) =>
      n % 2 === 0
        ? { video_url: `${url}/${n}/a.mp4`, resolution: "360p" }
        : { video_url: `${url}/${n}/master.m3u8`, resolution: "180p" },
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

/** The same pictures: the name is in a message of the first sample. */
function encodedBy(bytes: Uint8Array, name: string): Uint8Array<ArrayBuffer> {
  const whole = bytes.slice();
  const at = new TextDecoder("latin1").decode(whole).indexOf(ENCODER);
  if (at === -1) throw new Error(`the clip does not name ${ENCODER}`);
  whole.set(new TextEncoder().encode(name.padStart(ENCODER.length, "-")), at);
  return whole;
}

async function paced(response: Response, bytesPerSecond: number): Promise<Response> {
  const whole = await response.bytes();
  const headers = new Headers(response.headers);
  headers.set("content-length", String(whole.length));
  if (whole.length === 0) return new Response(null, { status: response.status, headers });
  const pieces = new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
    async transform(chunk, controller) {
      for (let at = 0; at < chunk.length; at += PIECE_BYTES) {
        const piece = chunk.subarray(at, at + PIECE_BYTES);
        controller.enqueue(piece);
        await new Promise((done) => setTimeout(done, piece.length / bytesPerSecond * 1000));
      }
    },
  });
  return new Response(new Response(whole).body!.pipeThrough(pieces), { status: response.status, headers });
}
