/**
 * An append-only list of the segments on disk, so that a killed download resumes.
 * Example: the line `{"file":"video-0b1c…-17","bytes":739600}` is written after `video-0b1c…-17.ts` was moved into place.
 */
import type { SegmentContainer } from "./segment_body.ts";

/** `empty`: a last segment of 0 bytes, which is no part of the video. */
export type StoredContainer = SegmentContainer | "empty";

export type Stored = { readonly file: string; readonly bytes: number; readonly container: StoredContainer };

/** Without a commit, the next attempt overwrites the file. */
export type SegmentWriter = Disposable & {
  readonly write: (bytes: Uint8Array) => Promise<void>;
  /** Moves the file into place, then appends the line. */
  readonly commit: (container: StoredContainer) => Promise<void>;
};

export type SegmentJournal = AsyncDisposable & {
  readonly done: ReadonlyMap<string, Stored>;
  /** Total bytes of `done`. */
  readonly bytes: () => number;
  readonly begin: (file: string) => Promise<SegmentWriter>;
  readonly path: (stored: Stored) => string;
};

/** Opens the journal in `dir`. Deletes what does not belong to one of the `renditions`, which are names of rendition_names.ts. */
export async function openSegmentJournal(dir: string, renditions: readonly string[]): Promise<SegmentJournal> {
  const journalPath = `${dir}/${JOURNAL}`;
  const done = new Map<string, Stored>();
  for (const line of await readLines(journalPath)) {
    const stored = parse(line) as Stored | null; // the last line may be incomplete
    if (!renditions.some((name) => stored?.file?.startsWith(`${name}-`))) continue;
    const size = (await Deno.stat(path(dir, stored!)).catch(() => null))?.size;
    if (size === stored!.bytes) done.set(stored!.file, stored!);
  }
  await Deno.mkdir(dir, { recursive: true });
  const kept = new Set([JOURNAL, `${JOURNAL}.part`, ...[...done.values()].map((stored) => nameOf(stored))]);
  await removeFiles(dir, (name) => !kept.has(name));
  // Replaces the old journal atomically: if killed or out of space before, the next run still has its segments.
  await Deno.writeTextFile(`${journalPath}.part`, [...done.values()].map(lineOf).join(""));
  await Deno.rename(`${journalPath}.part`, journalPath);
  const journal = await Deno.open(journalPath, { append: true });
  const write = async (stored: Stored) => {
    const bytes = new TextEncoder().encode(lineOf(stored));
    for (let at = 0; at < bytes.length;) at += await journal.write(bytes.subarray(at));
  };
  let queue = Promise.resolve();
  let bytes = [...done.values()].reduce((sum, stored) => sum + stored.bytes, 0);

  async function begin(file: string): Promise<SegmentWriter> {
    const part = `${dir}/${file}.part`;
    const output = await Deno.open(part, { create: true, write: true, truncate: true });
    let size = 0;
    let open = true;
    const close = () => {
      if (open) output.close();
      open = false;
    };
    return {
      write: async (piece) => {
        for (let at = 0; at < piece.length;) at += await output.write(piece.subarray(at));
        size += piece.length;
      },
      commit: async (container) => {
        close();
        const stored = { file, bytes: size, container };
        await Deno.rename(part, path(dir, stored));
        done.set(file, stored);
        bytes += size;
        queue = queue.then(() => write(stored)); // serialised
        await queue;
      },
      [Symbol.dispose]: close,
    };
  }

  return {
    done,
    bytes: () => bytes,
    begin,
    path: (stored) => path(dir, stored),
    [Symbol.asyncDispose]: async () => {
      await queue.catch(() => {});
      journal.close();
    },
  };
}

const JOURNAL = "journal.ndjson";

/** ffmpeg's HLS demuxer accepts only some extensions. */
const ENDING: Readonly<Record<StoredContainer, string>> = {
  ts: "ts",
  fmp4: "m4s",
  vtt: "vtt",
  audio: "aac",
  empty: "empty",
};

function path(dir: string, stored: Stored): string {
  return `${dir}/${nameOf(stored)}`;
}

function nameOf(stored: Stored): string {
  return `${stored.file}.${ENDING[stored.container]}`;
}

/** Deletes the segments of the video. What other heights share stays. */
export async function removeVideoSegments(dir: string): Promise<void> {
  await removeFiles(dir, (name) => name.startsWith("video-"));
}

async function removeFiles(dir: string, when: (name: string) => boolean): Promise<void> {
  const names = await Array.fromAsync(Deno.readDir(dir), ({ name }) => name).catch(() => []);
  for (const name of names) if (when(name)) await Deno.remove(`${dir}/${name}`, { recursive: true });
}

function lineOf(entry: unknown): string {
  return `${JSON.stringify(entry)}\n`;
}

async function readLines(path: string): Promise<string[]> {
  const text = await Deno.readTextFile(path).catch(() => "");
  return text.split("\n").filter((line) => line !== "");
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return null;
  }
}
