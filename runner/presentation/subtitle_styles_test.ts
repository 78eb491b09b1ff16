import assert from "node:assert/strict";
import { buildTextTrack } from "../mp4/text_track.ts";
import { mergeCues } from "../subtitles/cue_list.ts";
import { timedTextSample } from "../subtitles/timed_text.ts";
import { parseWebVtt } from "../subtitles/web_vtt.ts";
import { describeTrack } from "../media/track_names.ts";
import { sourceOfTracks } from "./source.ts";
import { writeWebVtt } from "./text_cues.ts";
import { labelsOf } from "./track_labels.ts";

const SOURCE = `WEBVTT

00:01.000 --> 00:04.000 line:0 align:start region:r1 onclick:x
<v Ann><c.yellow>Sign</c>

00:02.000 --> 00:03.000 position:10%,line-left
<i>One</i><00:02.500> two
`;

Deno.test("WebVTT of a source: settings, classes, overlaps → kept beside the file", () => {
  const cues = parseWebVtt(SOURCE)!.cues.map((cue, group) => ({ ...cue, group }));
  assert.equal(
    writeWebVtt(mergeCues(cues)).split("\n\n").slice(1).join("\n\n"),
    "00:00:01.000 --> 00:00:04.000 line:0 align:start\n<v Ann><c.yellow>Sign</c>\n\n" +
      "00:00:02.000 --> 00:00:03.000 position:10%,line-left\n<i>One</i> two\n",
  );
});

Deno.test("forced subtitles of a playlist → flagged in the MP4, its label and its menu", () => {
  const { track } = buildTextTrack([{ start: 0, end: 1, bytes: timedTextSample("x") }], "/t");
  const labels = (forced: boolean) => {
    const described = describeTrack(track, { language: "en", name: null, isDefault: false, forced });
    return labelsOf(sourceOfTracks([described]).tracks[0]!, "subtitles", 1);
  };
  assert.deepEqual(labels(true), { language: "en", label: "English (forced)", isDefault: false, forced: true });
  assert.deepEqual(labels(false), { language: "en", label: "English", isDefault: false, forced: false });
});
