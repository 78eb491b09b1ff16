// Resolver `page-metadata`: what the page states about its video for search engines and previews. Read last: it may be a preview.
// Example: <meta property="og:video" content="https://cdn.test/ep1.mp4">. Runs on: Deno, edge runtime.
import type { Tag } from "../page/tags.ts";
import { isObject, type Value } from "../script/values.ts";
import { decodePercent, parseJson } from "../script/calls.ts";
import { isDecoyName } from "./decoys.ts";
import { MediaFinder } from "./media.ts";
import type { PlayerPage } from "./player_page.ts";
import type { Family } from "./shape.ts";

const MAX_ITEMS = 100;

export const PAGE_METADATA: Family = {
  name: "page-metadata",
  what: "what the page says about its video to search engines",
  shapes: [
    { name: "json-ld", what: '`{ "@type": "VideoObject", "contentUrl": … }`, also in `@graph`', find: jsonLd },
    {
      name: "og-video",
      what: '`<meta property="og:video">`, `og:video:url`, `og:video:secure_url`',
      find: (page) => metaContent(page, /^og:video(?::url|:secure_url)?$/),
    },
    {
      name: "twitter-stream",
      what: '`<meta name="twitter:player:stream">`',
      find: (page) => metaContent(page, /^twitter:player:stream$/),
    },
    {
      name: "item-property",
      what: '`<meta itemprop="contentUrl">`, `<link itemprop="contentUrl">`',
      find: (page) => metaContent(page, /^contenturl$/),
    },
    {
      name: "preload-link",
      what: '`<link rel="preload" as="video" href>`',
      find: (page) => links(page, ({ name, attributes }) => name === "link" && attributes.get("as") === "video"),
    },
    {
      name: "video-link",
      what: '`<link rel="video_src" href>`',
      find: (page) => links(page, ({ name, attributes }) => name === "link" && attributes.get("rel") === "video_src"),
    },
    {
      name: "url-parameter",
      what: "the media's URL in the page's own URL: `/player?file=https%3A%2F%2F…`, `/player#…`",
      find: urlParameter,
    },
    {
      name: "download-link",
      what: "`<a href download>` of a video",
      find: (page) => links(page, ({ name, attributes }) => name === "a" && attributes.has("download")),
    },
  ],
};

function jsonLd(page: PlayerPage): MediaFinder {
  const finder = new MediaFinder(page);
  page.work.spend(page.tags.length);
  for (const { name, attributes, text } of page.tags) {
    if (name !== "script" || !/ld\+json/i.test(attributes.get("type") ?? "") || !finder.isEmpty) continue;
    page.work.spend(text.length);
    const { value } = parseJson(text);
    if (value !== undefined) addVideoObjects(value, finder, 0);
  }
  return finder;
}

/** VideoObjects at the top, in `@graph` or as `video`; a `trailer` is another film. */
function addVideoObjects(value: Value, finder: MediaFinder, depth: number): void {
  if (depth > 6 || !finder.isEmpty) return;
  if (Array.isArray(value)) { for (const item of value.slice(0, MAX_ITEMS)) addVideoObjects(item, finder, depth + 1); }
  else if (isObject(value)) {
    const type = [value["@type"]].flat();
    const { contentUrl, encodingFormat, name } = value;
    if (type.includes("VideoObject") && contentUrl !== undefined) {
      finder.add({
        contentUrl,
        ...(encodingFormat !== undefined && { encodingFormat }),
        ...(name !== undefined && { name }),
      }, "contentUrl");
    }
    for (const key of ["@graph", "video", "associatedMedia", "mainEntity", "subjectOf"]) {
      if (key in value) addVideoObjects(value[key]!, finder, depth + 1);
    }
  }
}

function metaContent(page: PlayerPage, name: RegExp): MediaFinder {
  const finder = new MediaFinder(page);
  page.work.spend(page.tags.length);
  const type = page.tags.find(({ attributes }) => nameOf(attributes) === "og:video:type")?.attributes.get("content");
  for (const { name: tag, attributes } of page.tags) {
    if (tag !== "meta" && tag !== "link") continue;
    // og:video may be a page with a player; only media is taken.
    if (name.test(nameOf(attributes))) {
      finder.add(attributes.get("content") ?? attributes.get("href"), "other", { type });
    }
  }
  return finder;
}

function nameOf(attributes: Tag["attributes"]): string {
  return (attributes.get("property") ?? attributes.get("name") ?? attributes.get("itemprop") ?? "").toLowerCase();
}

function links(page: PlayerPage, matches: (tag: Tag) => boolean): MediaFinder {
  const finder = new MediaFinder(page);
  page.work.spend(page.tags.length);
  for (const tag of page.tags) {
    if (matches(tag)) finder.add(tag.attributes.get("href"), "other", { type: tag.attributes.get("type") });
  }
  return finder;
}

function urlParameter(page: PlayerPage): MediaFinder {
  const { searchParams, hash } = new URL(page.url);
  const finder = new MediaFinder(page);
  for (const [name, value] of [...searchParams, ["file", decodePercent(hash.slice(1))] as const]) {
    if (/^(?:https?:)?\/\//i.test(value) && !isDecoyName(name)) finder.add(value, "other");
  }
  return finder;
}
