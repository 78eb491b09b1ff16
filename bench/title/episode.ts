/** An episode of any length: one minute of 720p, two languages and subtitles, repeated without encoding again. */
import { ffmpeg } from "../../tests/title/clips.ts";

export async function makeEpisode(path: string, minutes: number): Promise<void> {
  const minute = `${path}.minute.mp4`;
  const cues = Array.from(
    { length: 15 },
    (_, i) => `${i + 1}\n00:00:${two(4 * i)},000 --> 00:00:${two(4 * i + 2)},500\nCue ${i}\n`,
  );
  await Deno.writeTextFile(`${path}.srt`, cues.join("\n"));
  const tone = (hertz: number) => ["-f", "lavfi", "-i", `sine=${hertz}:d=60`];
  await ffmpeg([
    ...["-f", "lavfi", "-i", "testsrc2=s=1280x720:r=24000/1001:d=60", ...tone(440), ...tone(880), "-i", `${path}.srt`],
    ...["-map", "0", "-map", "1", "-map", "2", "-map", "3", "-c:v", "libx264", "-preset", "ultrafast", "-b:v", "1600k"],
    ...["-g", "48", "-bf", "3", "-pix_fmt", "yuv420p", "-c:a", "aac", "-b:a", "128k", "-c:s", "mov_text"],
    ...[
      "-metadata:s:a:0",
      "language=jpn",
      "-metadata:s:a:1",
      "language=eng",
      "-metadata:s:s:0",
      "language=eng",
      minute,
    ],
  ]);
  await ffmpeg(["-stream_loop", String(minutes - 1), "-i", minute, "-map", "0", "-c", "copy", path]);
  await Deno.remove(minute);
}

function two(value: number): string {
  return String(value).padStart(2, "0");
}
