// Pictures of made clips, by the colours in them.
import assert from "node:assert/strict";
import { makeExtras } from "./extras.ts";

const RED = "red";
const GREEN = "lime";
const BLUE = "blue";
const BLACK = "black";
const COLOURS: Readonly<Record<string, string>> = { "100": RED, "010": GREEN, "001": BLUE, "000": BLACK };

/** A clip that has these colours for so many seconds each, with a key frame only where the colour changes. */
async function madeFrom(size: string, colours: readonly (readonly [string, number])[], test: (made: Made) => void) {
  const dir = await Deno.makeTempDir();
  try {
    const inputs = colours.flatMap((
      [colour, seconds],
    ) => ["-f", "lavfi", "-i", `color=${colour}:s=${size}:r=25:d=${seconds}`]);
    const starts = colours.map((_, i) => colours.slice(0, i).reduce((sum, [, seconds]) => sum + seconds, 0));
    const encode = ["-c:v", "libx264", "-preset", "ultrafast", "-g", "9999", "-force_key_frames", starts.join(",")];
    const joined = ["-filter_complex", `concat=n=${colours.length},format=yuv420p`, "-threads", "1"];
    await ffmpeg([...inputs, ...joined, ...encode, "-sc_threshold", "0", `${dir}/clip.mp4`]);
    const durationSeconds = colours.reduce((sum, [, seconds]) => sum + seconds, 0);
    const signal = new AbortController().signal;
    const made = await makeExtras(`${dir}/clip.mp4`, { dir, fileKey: "k", durationSeconds, signal });
    assert.deepEqual(made.map(({ ending }) => ending), [".poster.jpg", ".sprite.jpg", ".sprite.vtt"]);
    test({
      poster: await pixelsOf(made[0]!.path),
      sprite: await pixelsOf(made[1]!.path),
      vtt: await Deno.readTextFile(made[2]!.path),
    });
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

interface Made {
  readonly poster: Pixels;
  readonly sprite: Pixels;
  readonly vtt: string;
}

interface Pixels {
  readonly size: string;
  at(x: number, y: number): string;
}

async function pixelsOf(path: string): Promise<Pixels> {
  const [bytes, probed] = await Promise.all([
    ffmpeg(["-i", path, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]),
    output("ffprobe", ["-v", "error", "-show_entries", "stream=width,height", "-of", "csv=p=0", path]),
  ]);
  const size = new TextDecoder().decode(probed).trim();
  const width = Number(size.split(",")[0]);
  return {
    size,
    at(x, y) {
      const start = (y * width + x) * 3;
      const bits = Array.from(bytes.subarray(start, start + 3), (value) => value > 128 ? 1 : 0).join("");
      return COLOURS[bits] ?? bits;
    },
  };
}

const ffmpeg = (args: readonly string[]) => output("ffmpeg", ["-nostdin", "-v", "error", "-y", ...args]);

async function output(command: string, args: readonly string[]): Promise<Uint8Array> {
  const { success, stdout, stderr } = await new Deno.Command(command, { args: [...args] }).output();
  assert.ok(success, new TextDecoder().decode(stderr));
  return stdout;
}

/** The colours in the middle of the first tiles. */
const tiles = ({ sprite }: Made, count: number) =>
  Array.from({ length: count }, (_, i) => sprite.at(160 * (i % 10) + 80, 90 * Math.floor(i / 10) + 45));

Deno.test("pictures: few key frames → a tile for every part of the duration", () =>
  madeFrom("160x90", [[RED, 5], [BLUE, 6]], (made) => {
    assert.equal(made.sprite.size, "1600,900");
    assert.deepEqual(tiles(made, 7), [RED, RED, RED, BLUE, BLUE, BLUE, BLACK]);
    assert.equal(made.vtt.match(/#xywh=/g)?.length, 6);
    assert.match(made.vtt, /00:00:10.000 --> 00:00:11.000\nk.sprite.jpg#xywh=800,0,160,90\n$/);
    assert.deepEqual([made.poster.size, made.poster.at(80, 45)], ["160,90", RED]);
  }));

Deno.test("pictures: a clip of five frames → poster and one tile", () =>
  madeFrom("160x90", [[GREEN, 0.2]], (made) => {
    assert.deepEqual(tiles(made, 2), [GREEN, BLACK]);
    assert.equal(made.poster.at(80, 45), GREEN);
    assert.match(made.vtt, /^WEBVTT\n\n00:00:00.000 --> 00:00:00.200\nk.sprite.jpg#xywh=0,0,160,90\n$/);
  }));

Deno.test("pictures: portrait → upright, between black bars in its tile", () =>
  madeFrom("90x160", [[RED, 2]], (made) => {
    assert.deepEqual([made.poster.size, made.poster.at(45, 5), made.poster.at(45, 155)], ["90,160", RED, RED]);
    assert.deepEqual([made.sprite.at(10, 45), made.sprite.at(80, 45), made.sprite.at(150, 45)], [BLACK, RED, BLACK]);
  }));

Deno.test("pictures: a large portrait → fits in 1280 pixels", () =>
  madeFrom("1440x2560", [[BLUE, 0.04]], (made) => assert.equal(made.poster.size, "720,1280")));
