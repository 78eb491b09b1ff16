// The levels of an MPD: every representation with its adaptation set, period and base URL. Shared by the parser and the rewriter.
// Example: <MPD><BaseURL>https://a.test/</BaseURL><Period><AdaptationSet><Representation><BaseURL>v/</BaseURL>… → https://a.test/v/
import { err, ok, type Result } from "../result.ts";
import type { XmlElement } from "./xml.ts";

export interface Level {
  readonly root: XmlElement;
  readonly period: XmlElement;
  readonly set: XmlElement;
  readonly element: XmlElement;
  /** The base URL, or several with the same content in order of preference. */
  readonly bases: readonly URL[];
}

const MAX_ALTERNATIVES = 4;
/** A document type declaration is recognized so that it can be refused by name. */
const ROOT = /(?:<!DOCTYPE\s+(?:[\w.-]+:)?MPD\b|<(?:[\w.-]+:)?MPD[\s/>])/y;
const PROLOGUE = [["<?", "?>"], ["<!--", "-->"]] as const;

/** Whether text is an XML document whose root is MPD. */
export function looksLikeMpd(text: string): boolean {
  let at = endOfSpace(text, text.charCodeAt(0) === 0xfeff ? 1 : 0);
  for (;;) {
    const markup = PROLOGUE.find(([open]) => text.startsWith(open, at));
    if (markup === undefined) break;
    const end = text.indexOf(markup[1], at);
    if (end === -1) return false;
    at = endOfSpace(text, end + markup[1].length);
  }
  ROOT.lastIndex = at;
  return ROOT.test(text);
}

/** One for each Representation. Fails if a base URL cannot be parsed. */
export function levelsOf(root: XmlElement, url: URL): Result<Level[], string> {
  const levels: Level[] = [];
  try {
    const top = basesBelow([url], root);
    for (const period of root.all("Period")) {
      const inPeriod = basesBelow(top, period);
      for (const set of period.all("AdaptationSet")) {
        const inSet = basesBelow(inPeriod, set);
        for (const element of set.all("Representation")) {
          levels.push({ root, period, set, element, bases: basesBelow(inSet, element) });
        }
      }
    }
    return ok(levels);
  } catch {
    return err("has a base URL that cannot be parsed");
  }
}

/** Without a BaseURL, the bases of the level above. Of several, each is combined with the best base of the level above. */
export function basesBelow(above: readonly URL[], element: XmlElement): readonly URL[] {
  const own = element.all("BaseURL").slice(0, MAX_ALTERNATIVES).map((one) => one.text);
  if (own.length === 0) return above;
  if (own.length === 1) return above.map((base) => new URL(own[0]!, base));
  return own.map((text, i) => new URL(text, above[Math.min(i, above.length - 1)]));
}

/** How the segments of a representation are stated. The closest level decides; its attributes may come from the levels above. */
export interface SegmentInfo {
  readonly name: "SegmentTemplate" | "SegmentList" | "SegmentBase" | null;
  /** The elements of that name, the closest level's first. */
  readonly elements: readonly XmlElement[];
}

export function segmentInfoOf({ period, set, element }: Level): SegmentInfo {
  const upwards = [element, set, period];
  const closest = (["SegmentTemplate", "SegmentList", "SegmentBase"] as const)
    .map((name) => ({ name, depth: upwards.findIndex((level) => level.child(name) !== null) }))
    .filter(({ depth }) => depth !== -1)
    .sort((a, b) => a.depth - b.depth)[0];
  if (closest === undefined) return { name: null, elements: [] };
  return { name: closest.name, elements: upwards.flatMap((level) => level.child(closest.name) ?? []) };
}

function endOfSpace(text: string, from: number): number {
  let at = from;
  while (text.charCodeAt(at) <= 32) at++;
  return at;
}
