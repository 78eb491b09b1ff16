/** All streams of the suite. */
import type { StreamCase } from "./stream.ts";
import { codecStreams } from "./streams/codecs.ts";
import { damagedStreams } from "./streams/damaged.ts";
import { playlistStreams } from "./streams/playlists.ts";
import { subtitleStreams } from "./streams/subtitles.ts";
import { timelineStreams } from "./streams/timelines.ts";

export const STREAMS: readonly StreamCase[] = [
  ...timelineStreams(),
  ...codecStreams(),
  ...playlistStreams(),
  ...subtitleStreams(),
  ...damagedStreams(),
];
