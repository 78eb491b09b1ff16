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
const START = /^\uFEFF?\s*(?:<\?xml[^>]*>\s*)?(?:<!--[^]*?-->\s*)*<(?:[\w.-]+:)?MPD[\s>]/;

/** Whether text is an XML document whose root is MPD. */
export function looksLikeMpd(text: string): boolean {
  return START.test(text);
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
