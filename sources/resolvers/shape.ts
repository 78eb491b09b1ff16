// What a shape is: one named way in which pages contain the URL of their media.
import type { PageClient } from "../fetch/page_client.ts";
import type { Call } from "../script/record.ts";
import type { Value } from "../script/values.ts";
import { isDecoyName } from "./decoys.ts";
import { MediaFinder } from "./media.ts";
import type { EmbedPage, PlayerPage, ScriptPart } from "./player_page.ts";

export interface ShapeTools {
  readonly pages: PageClient;
  /** Aborts at the end of the page's time. */
  readonly signal: AbortSignal;
  /** Unix milliseconds. */
  readonly now: () => number;
}

/** A page that the player loads into itself, to be read in place of the first. */
export interface FramedPage {
  readonly framed: EmbedPage;
}

export type Found = MediaFinder | FramedPage | null;

export interface Shape {
  /** As in docs/reference/resolvers.md and in reports: `setup-file`. */
  readonly name: string;
  readonly what: string;
  /** @throws {SourceError} if the page says that it has no media for visitors */
  readonly find: (page: PlayerPage, tools: ShapeTools) => Found | Promise<Found>;
}

export interface Family {
  /** As in `config.resolvers`. */
  readonly name: string;
  readonly what: string;
  readonly shapes: readonly Shape[];
}

/** A shape of scripts, which may be packed. */
export interface ScriptShape {
  readonly name: string;
  readonly what: string;
  readonly find: (part: ScriptPart, page: PlayerPage) => MediaFinder;
}

export function plainShapes(shapes: readonly ScriptShape[]): readonly Shape[] {
  return shapes.map(({ name, what, find }) => ({ name, what, find: (page) => find(page.plain, page) }));
}

/** Runs `read` for the script's calls, except those about an advertisement or a trailer, until media is found. */
export function findInCalls(
  { record }: ScriptPart,
  page: PlayerPage,
  read: (call: Call, finder: MediaFinder) => void,
  isEnough: (finder: MediaFinder) => boolean = (finder) => !finder.isEmpty,
): MediaFinder {
  const finder = new MediaFinder(page);
  for (const call of record.calls) {
    if (isDecoyName(`${call.path} ${call.target}`) || isDecoyElement(call.args)) {
      if (call.args.some((arg) => typeof arg === "object" && arg !== null)) finder.decoys++;
      continue;
    }
    read(call, finder);
    if (isEnough(finder)) break;
  }
  return finder;
}

/** The first argument names the element of an advertisement or a trailer: `new Plyr("#trailer", …)`. */
function isDecoyElement([first]: readonly Value[]): boolean {
  return typeof first === "string" && /^[#.]?[\w-]{1,60}$/.test(first) && isDecoyName(first);
}
