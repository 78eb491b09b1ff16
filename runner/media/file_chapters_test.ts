import assert from "node:assert/strict";
import { clip } from "../../dev/testing/clip_host.ts";
import { readChapters } from "./file_chapters.ts";

const { signal } = new AbortController();

Deno.test("readChapters: an MP4 with chapters → times, titles, kinds; without → none", async () => {
  const dir = await Deno.makeTempDir();
  const chapter = (start: number, title: string) =>
    `[CHAPTER]\nTIMEBASE=1/1000\nSTART=${start}\nEND=${start + 1000}\ntitle=${title}\n`;
  await Deno.writeTextFile(`${dir}/chapters`, `;FFMETADATA1\n${chapter(0, "Opening")}${chapter(1500, "Part A")}`);
  await Deno.writeFile(`${dir}/plain.mp4`, clip.mp4);
  const { success } = await new Deno.Command("ffmpeg", {
    args: [
      ...["-nostdin", "-v", "error", "-i", `${dir}/plain.mp4`, "-f", "ffmetadata", "-i", `${dir}/chapters`],
      ...["-map_chapters", "1", "-c", "copy", `${dir}/chapters.mp4`],
    ],
  }).output();
  assert.ok(success);
  assert.deepEqual(await readChapters(`${dir}/chapters.mp4`, signal), [
    { seconds: 0, title: "Opening", kind: "intro" },
    { seconds: 1.5, title: "Part A", kind: null },
  ]);
  assert.deepEqual(await readChapters(`${dir}/plain.mp4`, signal), []);
  assert.deepEqual(await readChapters(`${dir}/missing.mp4`, signal), []);
  await Deno.remove(dir, { recursive: true });
});
