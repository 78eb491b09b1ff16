// Resolver `packed-player`: the player is configured in a packed script (P.A.C.K.E.R. or a relative), in one of the shapes of plain scripts.
// Example, unpacked: links = { "hls2": "https://cdn.test/…/master.m3u8?t=…", "hls4": "/stream/…/master.m3u8" }.
// The URL is bound to the network that requested it, so the runner resolves it again. Runs on: Deno, edge runtime.
import { isObject } from "../script/values.ts";
import { sourceElements, videoSource } from "./element_shapes.ts";
import { JWPLAYER_SCRIPT_SHAPES } from "./jwplayer.ts";
import { MediaFinder } from "./media.ts";
import { PLAYER_FILE_SCRIPT_SHAPES } from "./player_file.ts";
import type { PlayerPage } from "./player_page.ts";
import { PLYR_SCRIPT_SHAPES } from "./plyr.ts";
import type { Family, ScriptShape, Shape } from "./shape.ts";

/** In order of preference; hls3 is a playlist with the extension .txt. */
const LINKS = ["hls2", "hls4", "hls3"];

export const PACKED_PLAYER: Family = {
  name: "packed-player",
  what: 'a player in a packed script, also packed twice or run by `eval(atob("…"))`',
  shapes: [
    { name: "links", what: "`links = { hls2, hls4, hls3 }`; preferred in this order", find: namedLinks },
    ...inPacked("jwplayer", JWPLAYER_SCRIPT_SHAPES),
    ...inPacked("plyr", PLYR_SCRIPT_SHAPES),
    ...inPacked("player-file", PLAYER_FILE_SCRIPT_SHAPES),
    { name: "added-elements", what: '`document.write("<video …>")`', find: addedElements },
  ],
};

function inPacked(family: string, shapes: readonly ScriptShape[]): readonly Shape[] {
  return shapes.map(({ name, what, find }) => ({
    name: `${family}/${name}`,
    what,
    find: (page) => find(page.packed, page),
  }));
}

/** The tracks are in the set-up of the player. */
function namedLinks(page: PlayerPage): MediaFinder | null {
  const { assignments, calls } = page.packed.record;
  const links = assignments.map(({ value }) => value).find((value) =>
    isObject(value) && LINKS.some((name) => typeof value[name] === "string")
  );
  if (!isObject(links)) return null;
  const finder = new MediaFinder(page);
  for (const name of LINKS) if (finder.isEmpty) finder.add(links[name], name, { type: "hls" });
  for (const { args } of calls) for (const arg of args) if (isObject(arg)) finder.addTracks(arg.tracks);
  return finder;
}

function addedElements(page: PlayerPage): MediaFinder {
  const finder = videoSource(page.packed.tags, page);
  return finder.isEmpty ? sourceElements(page.packed.tags, page) : finder;
}
