// Resolver `player-file`: media in a `sources` or `file` object, a variable or a <video> element of any other player.
// Example: player.src([{ src: "https://cdn.test/ep1.m3u8", type: "application/x-mpegURL" }]). Runs on: Deno, edge runtime.
import { parseJson } from "../script/calls.ts";
import { VIA } from "../script/record.ts";
import { isObject, type Value } from "../script/values.ts";
import { isDecoyName } from "./decoys.ts";
import { optionAttributes, sourceElements, videoSource } from "./element_shapes.ts";
import { MediaFinder, OTHERS_KEY } from "./media.ts";
import type { PlayerPage, ScriptPart } from "./player_page.ts";
import { heightOf } from "./quality.ts";
import { type Family, findInCalls, plainShapes, type ScriptShape } from "./shape.ts";

const PLAYER =
  /player|video|clappr|dplayer|artplayer|flow|oven|fluid|mediaelement|shaka|jw|plyr|theo|bitmovin|vidstack/i;
const SOURCE_VARIABLE = /source|video|stream|media|file|hls|dash|mp4|playlist|qualit|player|url|src|link|manifest/i;

export const PLAYER_FILE_SCRIPT_SHAPES: readonly ScriptShape[] = [
  { name: "player-src", what: "`player.src({ src, type })`, `player.src([…])`, `player.src(url)`", find: playerSrc },
  {
    name: "player-options",
    what: '`videojs(id, { sources })`, `new Clappr.Player({ source })`, `new Playerjs({ file: "[720p]…" })`',
    find: playerOptions,
  },
  { name: "quality-map", what: '`{ "720p": url, "1080p": url }`', find: assigned(isQualityMap) },
  {
    name: "base64-variable",
    what: '`atob("…")` of a URL or of JSON',
    find: assigned((_value, via) => (via & VIA.base64) !== 0),
  },
  {
    name: "json-variable",
    what: "`JSON.parse('[{ \"file\": … }]')`",
    find: assigned((value, via) => isStructure(value) && (via & VIA.json) !== 0),
  },
  {
    name: "sources-variable",
    what: "`videoSources = [{ src, type }]`, `sources = { hls, mp4 }`",
    find: assigned(isStructure),
  },
  { name: "url-variable", what: '`var hlsUrl = "…"`', find: assigned((value) => typeof value === "string") },
  {
    name: "hidden-link",
    what: 'a URL that a script puts into an element: `link.innerHTML = "//host/get?" + token`',
    find: hiddenLink,
  },
  { name: "call-argument", what: '`loadVideo("…/master.m3u8")`, `init({ file })`', find: callArgument },
];

export const PLAYER_FILE: Family = {
  name: "player-file",
  what: "media in an object, a variable or an element",
  shapes: [
    ...plainShapes(PLAYER_FILE_SCRIPT_SHAPES.slice(0, 2)),
    { name: "source-elements", what: "`<video><source src type>`", find: (page) => sourceElements(page.tags, page) },
    { name: "video-src", what: "`<video src>`", find: (page) => videoSource(page.tags, page) },
    {
      name: "option-attributes",
      what: "`data-setup='{ \"sources\": […] }'` and other JSON in attributes",
      find: (page) => optionAttributes(page.tags, page),
    },
    ...plainShapes(PLAYER_FILE_SCRIPT_SHAPES.slice(2)),
    {
      name: "json-script",
      what: '`<script type="application/json">` that a script from elsewhere reads',
      find: jsonScript,
    },
    { name: "added-elements", what: '`document.write("<video …>")`, `innerHTML = "<source …>"`', find: addedElements },
  ],
};

function playerSrc(part: ScriptPart, page: PlayerPage): MediaFinder {
  return findInCalls(part, page, ({ path, args: [first] }, finder) => {
    if (/\.(?:src|updateSrc|changeSource|setSource|setSrc|loadMedia|setMedia)$/.test(path)) finder.add(first, "src");
  });
}

function playerOptions(part: ScriptPart, page: PlayerPage): MediaFinder {
  return findInCalls(part, page, ({ path, args }, finder) => {
    if (!PLAYER.test(path) || /(?:^|\.)(?:setup|ajax|fetch)$/.test(path)) return;
    for (const arg of args) if (typeof arg === "object") finder.add(arg, "options");
  });
}

/** Variables and properties that are set; those of named media first. */
function assigned(matches: (value: Value, via: number) => boolean) {
  return ({ record }: ScriptPart, page: PlayerPage): MediaFinder => {
    const finder = new MediaFinder(page);
    for (const { path, value, via, target } of record.assignments) {
      if (finder.isSettled) break;
      const name = path.split(".").at(-1)!;
      if (/\.(?:inner|outer)HTML$|location\b/.test(path) || OTHERS_KEY.test(name) || !matches(value, via)) continue;
      if (isDecoyName(`${path} ${target}`)) {
        if (isStructure(value)) finder.decoys++;
      } else finder.add(value, SOURCE_VARIABLE.test(name) ? name : "other");
    }
    return finder;
  };
}

function isStructure(value: Value): boolean {
  return Array.isArray(value) || isObject(value);
}

function isQualityMap(value: Value): boolean {
  return isObject(value) && Object.keys(value).length > 0 &&
    Object.entries(value).every(([key, inner]) => heightOf(key) !== null && inner !== null);
}

function hiddenLink({ record }: ScriptPart, page: PlayerPage): MediaFinder {
  const finder = new MediaFinder(page);
  for (const { path, value, target } of record.assignments) {
    if (
      !/\.(?:innerHTML|innerText|textContent|href|value)$/.test(path) || typeof value !== "string" ||
      isDecoyName(`${path} ${target}`)
    ) continue;
    if (
      /^(?:https?:\/\/|\.{0,2}\/)[^\s<>]+$/.test(value.trim()) && /video|file|stream|media|get|link|token/i.test(value)
    ) {
      finder.add(value.trim(), "link");
    }
    if (!finder.isEmpty) break;
  }
  return finder;
}

function callArgument(part: ScriptPart, page: PlayerPage): MediaFinder {
  return findInCalls(part, page, ({ args }, finder) => {
    for (const arg of args) {
      if (typeof arg === "string") finder.add(arg, "other");
      else if (isStructure(arg)) finder.add(arg, "file");
    }
  }, (finder) => finder.isSettled);
}

function addedElements(page: PlayerPage): MediaFinder {
  const finder = videoSource(page.plain.tags, page);
  return finder.isEmpty ? sourceElements(page.plain.tags, page) : finder;
}

function jsonScript(page: PlayerPage): MediaFinder {
  const finder = new MediaFinder(page, { isPageState: true });
  for (const { name, attributes, text } of page.tags) {
    const isJson = name === "script" && /^application\/json$/i.test(attributes.get("type") ?? "");
    if (!isJson || !finder.isEmpty || isDecoyName(`${attributes.get("id") ?? ""} ${attributes.get("class") ?? ""}`)) {
      continue;
    }
    page.work.spend(text.length);
    finder.add(parseJson(text).value, "sources");
  }
  return finder;
}
