/** Streams that must never become an archive. */
import { makeStream } from "../../dev/testing/made_stream.ts";
import { hostOf, listOf, type ListOptions, type StreamCase } from "./stream.ts";

type Bytes = Uint8Array<ArrayBuffer>;

interface Case {
  readonly name: string;
  readonly change?: (path: string, bytes: Bytes) => Bytes | Response;
  readonly list?: ListOptions;
  /** Order of the segments. */
  readonly order?: readonly number[];
  readonly code: string;
  readonly message: RegExp;
  readonly gate?: boolean;
}

const page = (bytes: number) =>
  new TextEncoder().encode("<!doctype html><p>Not found</p>".repeat(bytes).slice(0, bytes)) as Bytes;
const third = (path: string) => path.endsWith("/3");

const CASES: readonly Case[] = [
  {
    name: "a segment left out",
    order: [0, 1, 3, 4, 5],
    code: "unsupported",
    message: /segment 3 of video starts/,
    gate: true,
  },
  {
    name: "two segments left out at once",
    order: [0, 3, 4, 5],
    code: "unsupported",
    message: /segment 2 of video starts/,
  },
  { name: "a segment twice", order: [0, 1, 1, 2, 3], code: "unsupported", message: /segment 3 of video starts/ },
  {
    name: "two segments swapped",
    order: [0, 2, 1, 3],
    code: "unsupported",
    message: /segment 2 of video starts/,
  },
  {
    name: "a segment missing on the host",
    change: (p, b) => third(p) ? new Response(null, { status: 404 }) : b,
    code: "source_expired",
    message: /segment 4 of video/,
  },
  {
    name: "half a segment, by its packets",
    change: (p, b) => third(p) ? b.slice(0, Math.floor(b.length / 376) * 188) : b,
    code: "unsupported",
    message: /segment [45]/,
    gate: true,
  },
  {
    name: "a segment cut inside a packet",
    change: (p, b) => third(p) ? b.slice(0, Math.floor(b.length / 376) * 188 + 90) : b,
    code: "unsupported",
    message: /segment 4/,
  },
  {
    name: "a web page instead of a segment",
    change: (p, b) => third(p) ? page(4096) : b,
    code: "unsupported",
    message: /segment 4.*HTML page/,
    gate: true,
  },
  {
    name: "a JSON error instead of a segment",
    change: (p, b) => third(p) ? new TextEncoder().encode('{"error":"gone"}'.repeat(300)) as Bytes : b,
    code: "unsupported",
    message: /segment 4/,
  },
  {
    name: "random bytes instead of a segment",
    change: (p, b) => third(p) ? crypto.getRandomValues(new Uint8Array(20_000)) : b,
    code: "unsupported",
    message: /segment 4/,
  },
  {
    name: "marked as missing (EXT-X-GAP)",
    list: { lines: (path, announced, i) => [...(i === 3 ? ["#EXT-X-GAP"] : []), `#EXTINF:${announced}`, path] },
    code: "source_expired",
    message: /segment 4.*EXT-X-GAP/,
  },
  { name: "live", list: { end: [""] }, code: "unsupported", message: /live/ },
  {
    name: "SAMPLE-AES",
    list: { head: ["#EXTM3U", "#EXT-X-TARGETDURATION:10", '#EXT-X-KEY:METHOD=SAMPLE-AES,URI="/k"'] },
    code: "drm",
    message: /SAMPLE-AES/,
  },
  {
    name: "Widevine",
    list: {
      head: [
        "#EXTM3U",
        "#EXT-X-TARGETDURATION:10",
        '#EXT-X-KEY:METHOD=SAMPLE-AES-CTR,URI="/k",KEYFORMAT="urn:uuid:edef8ba9-79d6-4ace-a3c8-27dcd51d21ed"',
      ],
    },
    code: "drm",
    message: /protected/,
  },
];

export function damagedStreams(): StreamCase[] {
  const streams = (["ts", "fmp4"] as const).flatMap((container) =>
    CASES.filter(({ name }) => container === "ts" || !name.includes("packet")).map((one): StreamCase => {
      const name = `${container}: ${one.name}`;
      const make = async () => {
        const made = await makeStream({ seconds: 12, container });
        const order = one.order ?? [...made.segments.keys()];
        const stream = {
          ...made,
          segments: order.map((i) => made.segments[i]!),
          durations: order.map((i) => made.durations[i]!),
        };
        return {
          name,
          host: hostOf({ v: [stream] }, { "/v.m3u8": listOf([stream], "v", one.list) }, one.change),
          expected: { outcome: "refused" as const, code: one.code, message: one.message },
        };
      };
      return { name, gate: one.gate === true && container === "ts", make };
    })
  );
  return [...streams, pageInside()];
}

function pageInside(): StreamCase {
  const name = "fmp4: 2 KiB of a web page inside a segment";
  const make = async () => {
    const made = await makeStream({ seconds: 12, container: "fmp4" });
    const host = hostOf({ v: [made] }, { "/v.m3u8": listOf([made], "v") }, (path, bytes) => {
      if (!third(path)) return bytes;
      const changed = bytes.slice();
      changed.set(page(2048), bytes.length - 6_000);
      return changed;
    });
    const message = /text in it|not video|cannot be decoded/;
    return { name, host, expected: { outcome: "refused" as const, code: "unsupported", message } };
  };
  return { name, gate: false, make };
}
