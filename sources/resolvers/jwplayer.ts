// Resolver `jwplayer`: the page sets up JW Player, or a player with the same options.
// Example: jwplayer("p").setup({ sources: [{ file: "https://cdn.test/720.mp4", label: "720p" }] }). Runs on: Deno, edge runtime.
import { type Call, VIA } from "../script/record.ts";
import { isObject, type ScriptObject, type Value } from "../script/values.ts";
import { isDecoyName } from "./decoys.ts";
import { type FeedCall, readFeed } from "./jwplayer_feed.ts";
import { MediaFinder } from "./media.ts";
import type { PlayerPage, ScriptPart } from "./player_page.ts";
import { type Family, findInCalls, plainShapes, type ScriptShape } from "./shape.ts";

const FILE_VIA = VIA.base64 | VIA.json | VIA.variable | VIA.function;

export const JWPLAYER_SCRIPT_SHAPES: readonly ScriptShape[] = [
  shape(
    "setup-base64",
    '`setup({ file: atob("…") })`',
    (options, via) => (via & VIA.base64) !== 0 && hasMedia(options),
  ),
  shape("setup-json", '`setup(JSON.parse("…"))`', (options, via) => (via & VIA.json) !== 0 && hasMedia(options)),
  shape(
    "setup-variable",
    "`setup(config)`, `setup({ file: url })` with variables or functions of the page",
    (options, via) => (via & FILE_VIA) !== 0 && hasMedia(options),
  ),
  shape(
    "setup-sources",
    "`setup({ sources: [{ file, label }] })`, also `levels`",
    ({ sources, levels }) => Array.isArray(sources ?? levels) || isObject(sources),
  ),
  shape(
    "setup-playlist",
    "`setup({ playlist: [{ file }] })`, also with `sources`; its first item that is not an advertisement",
    ({ playlist }) => Array.isArray(playlist) || isObject(playlist),
  ),
  shape(
    "setup-file",
    "`setup({ file })`",
    ({ file, src, url }) => [file, src, url].some((one) => typeof one === "string"),
  ),
  { name: "load", what: "`load({ file })`, `load([{ sources }])`", find: loadCall },
  {
    name: "config-variable",
    what: "options in a variable that a script from elsewhere reads: `jwConfig = { … }`",
    find: configVariable,
  },
];

export const JWPLAYER: Family = {
  name: "jwplayer",
  what: "sets up JW Player",
  shapes: [
    ...plainShapes(JWPLAYER_SCRIPT_SHAPES),
    {
      name: "setup-playlist-url",
      what: '`setup({ playlist: "/feed.json" })`: a JSON or RSS feed, which is fetched',
      find: async (page, { pages }) => {
        const call = findFeed(page.plain) ?? findFeed(page.packed);
        return call === null ? null : await readFeed(call, page, pages);
      },
    },
  ],
};

function shape(name: string, what: string, matches: (options: ScriptObject, via: number) => boolean): ScriptShape {
  const find = (part: ScriptPart, page: PlayerPage) =>
    findInCalls(part, page, (call, finder) => {
      const options = optionsOf(call);
      if (options !== null && matches(options, call.via)) addOptions(options, finder);
    });
  return { name, what, find };
}

function optionsOf({ path, args }: Call): ScriptObject | null {
  const options = args.find(isObject);
  return /(?:^|\.)setup$/i.test(path) && options !== undefined ? options : null;
}

function hasMedia({ file, sources, playlist, levels, src, url }: ScriptObject): boolean {
  return [file, sources, playlist, levels, src, url].some((value) =>
    typeof value === "string" || typeof value === "object"
  );
}

/** The options, with the first item of the playlist that has media. */
function addOptions(options: ScriptObject, finder: MediaFinder): void {
  const { playlist, ...rest } = options;
  finder.add(rest, "setup");
  for (const item of Array.isArray(playlist) ? playlist : [playlist]) {
    if (!finder.isEmpty) return;
    if (item !== undefined) finder.add(item, "playlist");
  }
}

function loadCall(part: ScriptPart, page: PlayerPage): MediaFinder {
  return findInCalls(part, page, ({ path, args }, finder) => {
    if (!/\.load$/.test(path)) return;
    for (const arg of args) {
      const items: readonly Value[] = Array.isArray(arg) ? arg : [arg];
      for (const item of items) if (finder.isEmpty && isObject(item)) addOptions(item, finder);
    }
  });
}

function configVariable({ record }: ScriptPart, page: PlayerPage): MediaFinder {
  const finder = new MediaFinder(page);
  for (const { path, value } of record.assignments) {
    if (
      finder.isEmpty && /jw|player_?(?:config|options|setup|data)/i.test(path) && !isDecoyName(path) && isObject(value)
    ) {
      addOptions(value, finder);
    }
  }
  return finder;
}

/** A setup whose playlist is a URL without the extension of media. */
function findFeed({ record }: ScriptPart): FeedCall | null {
  for (const call of record.calls) {
    const playlist = optionsOf(call)?.playlist ?? (/\.load$/.test(call.path) ? call.args[0] : undefined);
    if (typeof playlist === "string" && !isDecoyName(`${call.path} ${call.target}`)) {
      return { playlist, options: optionsOf(call) ?? {} };
    }
  }
  return null;
}
