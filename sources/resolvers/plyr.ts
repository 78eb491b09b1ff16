// Resolver `plyr`: a <video> element that a script turns into a player or gives a source: Plyr, hls.js, dash.js.
// Example: player.source = { type: "video", sources: [{ src: "/720.mp4", size: 720 }] }. Runs on: Deno, edge runtime.
import { ElementValue, isObject } from "../script/values.ts";
import { isDecoyName } from "./decoys.ts";
import { dataAttributes, optionAttributes, sourceSizes } from "./element_shapes.ts";
import { MediaFinder } from "./media.ts";
import type { PlayerPage, ScriptPart } from "./player_page.ts";
import { type Family, findInCalls, plainShapes, type ScriptShape } from "./shape.ts";

const NOT_VIDEO = /(?:^|\.)(?:i?frame|img|image|script|link|css|audio\w*)\w*\.src$/i;

export const PLYR_SCRIPT_SHAPES: readonly ScriptShape[] = [
  { name: "player-source", what: "`player.source = { sources: [{ src, size }] }`", find: playerSource },
  { name: "load-source", what: "`hls.loadSource(url)` (hls.js)", find: loadSource },
  { name: "dash-source", what: "`player.initialize(video, url)`, `attachSource(url)` (dash.js)", find: dashSource },
  { name: "element-src", what: '`video.src = url`, `source.setAttribute("src", url)`', find: elementSource },
  { name: "constructor-options", what: '`new Plyr("#player", { sources: […] })`', find: constructorOptions },
];

export const PLYR: Family = {
  name: "plyr",
  what: "a `<video>` element with Plyr, hls.js or dash.js",
  shapes: [
    {
      name: "config-attribute",
      what: "`<div data-plyr-config='{ \"sources\": […] }'>`",
      find: (page) => optionAttributes(page.tags, page, /^data-plyr(?:-config)?$/),
    },
    ...plainShapes(PLYR_SCRIPT_SHAPES),
    {
      name: "source-sizes",
      what: "`<video><source src size>`, also `label`, `res`, `data-quality`",
      find: (page) => sourceSizes(page.tags, page),
    },
    {
      name: "data-attributes",
      what: '`<video data-src>`, `<div data-plyr-embed-id>`, `<div class="player" data-hls>`',
      find: (page) => dataAttributes(page.tags, page),
    },
  ],
};

function playerSource({ record }: ScriptPart, page: PlayerPage): MediaFinder {
  const finder = new MediaFinder(page);
  for (const { path, value, target } of record.assignments) {
    if (!finder.isEmpty) break;
    if (!/\.source$/.test(path) || !(isObject(value) || typeof value === "string")) continue;
    if (isDecoyName(`${path} ${target}`)) finder.decoys++;
    else finder.add(value, "source");
  }
  return finder;
}

function loadSource(part: ScriptPart, page: PlayerPage): MediaFinder {
  return findInCalls(part, page, ({ path, args }, finder) => {
    if (/\.loadSource$/.test(path)) finder.add(args[0], "src", { type: "hls" });
  });
}

function dashSource(part: ScriptPart, page: PlayerPage): MediaFinder {
  return findInCalls(part, page, ({ path, args }, finder) => {
    if (/\.attachSource$/.test(path)) finder.add(args[0], "src", { type: "dash" });
    if (/\.initialize$/.test(path)) finder.add(args[1], "src", { type: "dash" });
  });
}

function elementSource(part: ScriptPart, page: PlayerPage): MediaFinder {
  const finder = findInCalls(part, page, ({ path, args, target }, found) => {
    if (
      /(?:\.setAttribute|\.attr|\.prop)$/.test(path) && args[0] === "src" &&
      !/frame|img|image/i.test(`${path} ${target}`)
    ) {
      found.add(args[1], /video|source|player/i.test(`${path} ${target}`) ? "src" : "");
    }
  });
  for (const { path, value, target } of part.record.assignments) {
    if (!finder.isEmpty) break;
    if (!/\.src$/.test(path) || NOT_VIDEO.test(path) || value instanceof ElementValue) continue;
    if (isDecoyName(`${path} ${target}`)) finder.decoys++;
    else finder.add(value, /video|player|source|media|vid|el/i.test(`${path} ${target}`) ? "src" : "other");
  }
  return finder;
}

function constructorOptions(part: ScriptPart, page: PlayerPage): MediaFinder {
  return findInCalls(part, page, ({ path, args }, finder) => {
    if (/(?:^new |\.)Plyr(?:\.setup)?$/.test(path)) {
      for (const arg of args) if (isObject(arg)) finder.add(arg, "options");
    }
  });
}
