import assert from "node:assert/strict";
import { startBrowser } from "../../dev/testing/browser.ts";
import { writePresentation } from "../../runner/presentation/write_presentation.ts";
import { makePlayerClip, playedProblems, playIn } from "./players.ts";
import { validate } from "./validator.ts";

Deno.test("archive in hls.js: seek, language, cue → the right ones", async () => {
  const dir = await Deno.makeTempDir({ prefix: "keepstream-players-" });
  await makePlayerClip(`${dir}/in.mp4`);
  const policy = { form: "auto", segmentSeconds: 4 } as const;
  const signal = new AbortController().signal;
  const options = { ...policy, output: `${dir}/ep.mp4`, fileKey: "ep", signal };
  const written = await writePresentation({ path: `${dir}/in.mp4` }, options);
  assert.ok(written.kind === "done");
  for (const [ending, text] of written.texts) await Deno.writeTextFile(`${dir}/ep${ending}`, text);
  assert.deepEqual(await validate({ path: written.file.path, texts: written.texts, fileKey: "ep" }), []);
  await using browser = await startBrowser();
  assert.deepEqual(playedProblems(await playIn("hls.js", { dir, browser })), []);
  await Deno.remove(dir, { recursive: true });
});
