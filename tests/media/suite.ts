/** All streams of the suite. */
import type { StreamCase } from "./stream.ts";
import { codecStreams } from "./codecs_streams.ts";
import { damagedStreams } from "./damaged_streams.ts";
import { playlistStreams } from "./playlists_streams.ts";
import { subtitleStreams } from "./subtitles_streams.ts";
import { timelineStreams } from "./timelines_streams.ts";

export const STREAMS: readonly StreamCase[] = [
  ...timelineStreams(),
  ...codecStreams(),
  ...playlistStreams(),
  ...subtitleStreams(),
  ...damagedStreams(),
];
