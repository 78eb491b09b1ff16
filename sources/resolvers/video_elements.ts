// The <video> elements of a page, except those of advertisements and trailers and those that play in the background.
// Example: videoElements(tags) → [{ video, sources: [<source src="/720.mp4" size="720">] }].
import type { WorkBudget } from "../page/parse_budget.ts";
import type { Tag } from "../page/tags.ts";
import { isDecoyName } from "./decoys.ts";
import type { MediaFinder } from "./media.ts";

export interface VideoElement {
  readonly video: Tag;
  /** Its <source> elements. */
  readonly sources: readonly Tag[];
  /** Its <track> elements. */
  readonly tracks: readonly Tag[];
  /** Of an advertisement or a trailer, by the element or by one that contains it. */
  readonly isDecoy: boolean;
}

const MAX_OPEN = 256;
const VOID = new Set("area base br col embed hr img input link meta param source track wbr".split(" "));
/** Content that browsers do not show while scripts run. */
/** <video>, <audio>, and elements of players: <video-js>, <media-player>, <hls-video>. */
const PLAYER = /^(?:video|audio|video-js|[a-z]{2,20}-(?:video|player|audio))$/;
const NAMING = ["id", "class", "data-type", "data-role", "aria-label", "title"];
const INERT = new Set(["template", "noscript"]);

const known = new WeakMap<readonly Tag[], readonly VideoElement[]>();

export function videoElements(tags: readonly Tag[], work: WorkBudget): readonly VideoElement[] {
  let found = known.get(tags);
  if (found !== undefined) return found;
  work.spend(tags.length);
  known.set(tags, found = findVideos(tags));
  return found;
}

function findVideos(tags: readonly Tag[]): readonly VideoElement[] {
  const found: VideoElement[] = [];
  const open: { readonly name: string; readonly isDecoy: boolean }[] = [];
  let current: { video: Tag; sources: Tag[]; tracks: Tag[]; isDecoy: boolean } | null = null;
  for (const tag of tags) {
    const { name } = tag;
    if (name.startsWith("/")) {
      close(open, name.slice(1));
      if (isPlayer(name.slice(1))) current = null;
      continue;
    }
    if (current !== null && name === "source") current.sources.push(tag);
    if (current !== null && name === "track") current.tracks.push(tag);
    if (VOID.has(name)) continue;
    const isDecoy = (open.at(-1)?.isDecoy ?? false) || INERT.has(name) || isDecoyElement(tag);
    if (isPlayer(name)) {
      found.push(current = { video: tag, sources: [], tracks: [], isDecoy: isDecoy || isBackground(tag) });
    }
    if (open.length < MAX_OPEN) open.push({ name, isDecoy });
  }
  return found;
}

/** Adds the element's tracks. */
export function addTracks({ tracks }: VideoElement, finder: MediaFinder): void {
  finder.addTracks(tracks.map(({ attributes }) => Object.fromEntries(attributes)));
}

function isPlayer(name: string): boolean {
  return PLAYER.test(name);
}

function close(open: { readonly name: string }[], name: string): void {
  const at = open.findLastIndex((one) => one.name === name);
  if (at !== -1) open.length = at;
}

export function isDecoyElement({ attributes }: Tag): boolean {
  if (attributes.size === 0) return false;
  if (attributes.has("data-ad") || attributes.has("data-trailer")) return true;
  return NAMING.some((name) => {
    const value = attributes.get(name);
    return value !== undefined && isDecoyName(value);
  });
}

/** Muted, repeated, without controls: decoration. */
function isBackground({ attributes }: Tag): boolean {
  return ["autoplay", "muted", "loop"].every((name) => attributes.has(name)) && !attributes.has("controls");
}
