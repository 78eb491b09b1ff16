// A playlist of JW Player that is a URL: JSON as `{ playlist: [{ sources }] }`, or RSS with `<jwplayer:source file="…">`.
import { parseHttpUrl } from "../../core/http_url.ts";
import type { PageClient } from "../fetch/page_client.ts";
import { tags } from "../page/tags.ts";
import { parseJson } from "../script/calls.ts";
import { isObject, type ScriptObject } from "../script/values.ts";
import { MediaFinder } from "./media.ts";
import type { PlayerPage } from "./player_page.ts";

export interface FeedCall {
  readonly playlist: string;
  readonly options: ScriptObject;
}

const MAX_FEED_BYTES = 512 * 1024;

/** @throws {SourceError} if the feed cannot be read */
export async function readFeed(
  { playlist, options }: FeedCall,
  page: PlayerPage,
  pages: PageClient,
): Promise<MediaFinder> {
  const url = parseHttpUrl(playlist, page.url);
  const finder = new MediaFinder(page);
  if (url === null || finder.add(playlist, "file").candidates.some(({ kind }) => kind !== null)) return finder;
  const { text, url: base } = await pages.read(url, { maxBytes: MAX_FEED_BYTES, headers: { referer: page.url } });
  const found = new MediaFinder({ url: base, work: page.work });
  page.work.spend(text.length);
  const { value } = parseJson(text.trim());
  const items = isObject(value) ? value.playlist ?? value.items ?? value.data ?? value : value;
  for (const item of Array.isArray(items) ? items : [items]) {
    if (found.isEmpty && item !== undefined) found.add(item, "playlist");
  }
  if (found.isEmpty && text.includes("<")) addRss(text, found);
  return found.addTracks(options.tracks);
}

/** The sources of the feed's first item. */
function addRss(text: string, finder: MediaFinder): void {
  for (const { name, attributes } of tags(text)) {
    if (name === "/item" && !finder.isEmpty) return;
    const url = attributes.get("file") ?? attributes.get("url");
    if (/:source$|:content$|^enclosure$/.test(name)) {
      finder.add(url, "file", { label: attributes.get("label"), type: attributes.get("type") });
    } else if (/:track$/.test(name)) finder.addTracks(Object.fromEntries(attributes));
  }
}
