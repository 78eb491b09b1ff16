/** Requests and bytes of programs that read an episode over HTTP: as a plain file, in the form of archives, and as HLS. */
import { writePresentation } from "../../runner/presentation/write_presentation.ts";
import { startRangeServer } from "../../tests/title/range_server.ts";
import { makeEpisode } from "./episode.ts";

export interface ReaderRow {
  readonly reader: string;
  readonly form: string;
  readonly fileBytes: number;
  readonly requests: number;
  /** Given to the socket, with what a closed connection threw away. */
  readonly sentBytes: number;
  readonly exitCode: number;
}

const PROGRAMS: Readonly<Record<string, (url: string) => string[]>> = {
  "ffmpeg -c copy, whole file": (
    url,
  ) => ["ffmpeg", "-nostdin", "-v", "error", "-i", url, "-map", "0", "-c", "copy", "-f", "null", "-"],
  "ffmpeg -ss 600 -t 60 -c copy": (url) => [
    ...[
      "ffmpeg",
      "-nostdin",
      "-v",
      "error",
      "-ss",
      "600",
      "-i",
      url,
      "-t",
      "60",
      "-map",
      "0",
      "-c",
      "copy",
      "-f",
      "null",
      "-",
    ],
  ],
  "mpv --start=600, 20 s": (url) => [
    ...[
      "mpv",
      "--no-config",
      "--vo=null",
      "--ao=null",
      "--untimed",
      "--start=600",
      "--length=20",
      "--really-quiet",
      url,
    ],
  ],
  "VLC from 600 s, 5 s": (url) => [
    ...[
      "cvlc",
      "-q",
      "--vout=dummy",
      "--aout=dummy",
      "--start-time=600",
      "--run-time=5",
      "--play-and-exit",
      url,
      "vlc://quit",
    ],
  ],
};
const TIMEOUT_SECONDS = 300;

export async function measureReaders(dir: string, minutes: number): Promise<ReaderRow[]> {
  const input = `${dir}/readers.mp4`;
  await makeEpisode(input, minutes);
  const rows: ReaderRow[] = [];
  const forms = [
    ...[{ form: "plain", policy: "plain", groupBytes: 0 }, {
      form: "archive, one segment together",
      policy: "auto",
      groupBytes: 0,
    }],
    ...[{ form: "archive", policy: "auto", groupBytes: 6_000_000 }, {
      form: "archive, up to 9 MB together",
      policy: "auto",
      groupBytes: 9_000_000,
    }],
  ] as const;
  for (const { form, policy, groupBytes } of forms) {
    const signal = new AbortController().signal;
    const options = { output: `${dir}/ep.mp4`, fileKey: "ep", form: policy, segmentSeconds: 6, groupBytes, signal };
    const written = await writePresentation({ path: input }, options);
    if (written.kind !== "done") throw new Error(written.reason);
    for (const [reader, args] of Object.entries(PROGRAMS)) {
      await using server = startRangeServer(dir);
      const [program, ...rest] = args(`${server.url}/ep.mp4`) as [string, ...string[]];
      const exitCode = await run(program, rest);
      if (exitCode === null) continue;
      const { requests, bytes: sentBytes } = server.seen;
      rows.push({ reader, form, fileBytes: written.file.sizeBytes, requests, sentBytes, exitCode });
      console.log(JSON.stringify(rows.at(-1)));
    }
  }
  return rows;
}

/** null if the program is not installed. VLC does not run as root: it gets another user. */
async function run(program: string, args: readonly string[]): Promise<number | null> {
  const asUser = program === "cvlc" && Deno.uid() === 0
    ? ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    : [];
  try {
    const [first, ...rest] = [...asUser, "timeout", String(TIMEOUT_SECONDS), program, ...args] as [string, ...string[]];
    const { code } = await new Deno.Command(first, {
      args: rest,
      stdout: "null",
      stderr: "null",
      env: { HOME: "/tmp" },
    }).output();
    return code === 127 ? null : code;
  } catch {
    return null;
  }
}
