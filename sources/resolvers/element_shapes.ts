// Shapes of HTML elements, in the page or in HTML that its scripts add: <video>, <source>, `data-*` attributes.
// Example: <video><source src="/720.mp4" size="720"></video> → source-sizes.
import type { Tag } from "../page/tags.ts";
import { parseJson } from "../script/calls.ts";
import { heightOf } from "./quality.ts";
import { type FinderOptions, MediaFinder } from "./media.ts";
import type { PlayerPage } from "./player_page.ts";
import { addTracks, isDecoyElement, type VideoElement, videoElements } from "./video_elements.ts";

const LABELS = ["size", "label", "res", "data-res", "data-quality", "data-label", "title", "data-size", "quality"];
const MEDIA_ATTRIBUTE =
  /^data-(?:[\w-]*-)?(?:src|source|sources|file|video|hls|dash|mp4|stream|url|media|mpd|m3u8|embed-id)(?:-url)?$/;
const OPTION_ATTRIBUTE =
  /^data-(?:[\w-]*-)?(?:config|setup|options|player|sources|video|plyr|settings|item)$|^:?sources$|^:?options$/;
const PLAYER = /player|video|plyr|stream|jw|watch|embed/i;

type Tags = readonly Tag[];

/** <video> with several <source> elements that state a size. */
export function sourceSizes(tags: Tags, page: PlayerPage): MediaFinder {
  return inVideos(tags, page, ({ sources }, finder) => {
    if (sources.some((source) => heightOf(labelOf(source)) !== null)) addSources(sources, finder);
  });
}

export function sourceElements(tags: Tags, page: PlayerPage): MediaFinder {
  return inVideos(tags, page, ({ sources }, finder) => addSources(sources, finder));
}

export function videoSource(tags: Tags, page: PlayerPage): MediaFinder {
  return inVideos(
    tags,
    page,
    ({ video }, finder) =>
      finder.add(video.attributes.get("src"), "src", { type: video.attributes.get("type"), label: labelOf(video) }),
  );
}

/** `<video data-src="…">`, `<div id="player" data-hls="…">`; <source data-src> too. */
export function dataAttributes(tags: Tags, page: PlayerPage): MediaFinder {
  const finder = inVideos(tags, page, ({ video, sources }, found) => {
    for (const tag of [video, ...sources]) addDataAttributes(tag, found);
  });
  page.work.spend(tags.length);
  for (const tag of tags) {
    if (!finder.isEmpty) break;
    if (
      tag.name === "iframe" || tag.name === "img" || tag.name === "video" || tag.name === "source" ||
      tag.name === "script"
    ) continue;
    if (isPlayer(tag) && !isDecoyElement(tag)) addDataAttributes(tag, finder);
  }
  return finder;
}

/** `data-plyr-config='{…}'`, `data-setup='{"sources": […]}'`. */
export function optionAttributes(
  tags: Tags,
  page: PlayerPage,
  name = OPTION_ATTRIBUTE,
  options: FinderOptions = {},
): MediaFinder {
  const finder = new MediaFinder(page, options);
  page.work.spend(tags.length);
  for (const tag of tags) {
    for (const [attribute, text] of tag.attributes) {
      if (!finder.isEmpty) return finder;
      if (!name.test(attribute) || !/^\s*[[{]/.test(text) || isDecoyElement(tag)) continue;
      page.work.spend(text.length);
      finder.add(parseJson(text).value, "sources");
    }
  }
  return finder;
}

function inVideos(
  tags: Tags,
  page: PlayerPage,
  read: (element: VideoElement, finder: MediaFinder) => void,
): MediaFinder {
  const finder = new MediaFinder(page);
  for (const element of videoElements(tags, page.work)) {
    if (element.isDecoy) {
      finder.decoys++;
      continue;
    }
    read(element, finder);
    if (finder.isEmpty) continue;
    addTracks(element, finder);
    break;
  }
  return finder;
}

function addSources(sources: Tags, finder: MediaFinder): void {
  for (const source of sources) {
    if (isDecoyElement(source)) continue;
    const { attributes } = source;
    finder.add(attributes.get("src"), "src", { type: attributes.get("type"), label: labelOf(source) });
  }
}

function addDataAttributes(tag: Tag, finder: MediaFinder): void {
  for (const [name, value] of tag.attributes) {
    if (MEDIA_ATTRIBUTE.test(name)) {
      finder.add(value, name.slice(5).replaceAll("-", "_"), {
        type: tag.attributes.get("type") ?? hintOf(name),
        label: labelOf(tag),
      });
    }
  }
}

function hintOf(attribute: string): string | undefined {
  return /hls|m3u8/.test(attribute) ? "hls" : /dash|mpd/.test(attribute) ? "dash" : undefined;
}

function isPlayer({ attributes }: Tag): boolean {
  return PLAYER.test(`${attributes.get("id") ?? ""} ${attributes.get("class") ?? ""}`) ||
    [...attributes.keys()].some((name) => name.startsWith("data-plyr"));
}

function labelOf({ attributes }: Tag): string | undefined {
  return LABELS.map((name) => attributes.get(name)).find((label) => label !== undefined && label !== "");
}
