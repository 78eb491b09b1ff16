// HTML → elements, by linkedom (docs/decisions/0005-html-parser.md). Example: (await parseHtml(page)).querySelectorAll("select.mirror option"). Runs on: Deno, edge runtime.
import { chargeParse, createParseBudget } from "./parse_budget.ts";

/** The few members of a DOM element that recipes may use: whatever parses, they stay. */
export interface HtmlElement {
  readonly textContent: string | null;
  readonly attributes: Iterable<{ readonly name: string; readonly value: string }>;
  getAttribute(name: string): string | null;
  querySelector(selector: string): HtmlElement | null;
  querySelectorAll(selector: string): Iterable<HtmlElement>;
}

export interface HtmlDocument {
  querySelector(selector: string): HtmlElement | null;
  querySelectorAll(selector: string): Iterable<HtmlElement>;
}

/**
 * Parses a page or a fragment; malformed HTML never throws. Where tags are enough, `tags` costs a hundredth.
 *
 * @param budget What may still be parsed for this answer; the page is taken off.
 * @throws {SourceError} `too_large` when it is more than that, or nests without end.
 *
 * @example
 * (await parseHtml('<a href="/1">1</a>')).querySelector("a")
 */
export async function parseHtml(html: string, budget = createParseBudget()): Promise<HtmlDocument> {
  chargeParse(html, budget);
  // Loaded with the first page: an answer out of the cache reads none, and the library takes longest of all to load. Its
  // build as one file loads in half the time of its modules (44 ms against 67–97), less than the first page is on its way.
  const { DOMParser } = await import("linkedom/worker");
  // Whether the text is a whole page or one element, it gets the same shape around it.
  const text = /<html[\s>]/i.test(html) ? html : `<html><body>${html}</body></html>`;
  return new DOMParser().parseFromString(text, "text/html") as unknown as HtmlDocument;
}

/** Starts loading the parser while the first page is still on its way. */
export function preloadHtmlParser(): void {
  import("linkedom/worker").catch(() => {}); // parseHtml meets the same failure, and reports it
}

/** The attribute whatever its case in the page: linkedom keeps `SRC` as written, browsers do not. */
export function attribute(element: HtmlElement, name: string): string | null {
  const exact = element.getAttribute(name);
  if (exact !== null) return exact;
  for (const candidate of element.attributes) {
    if (candidate.name.toLowerCase() === name) return candidate.value;
  }
  return null;
}

/** Visible text with runs of white space as one blank. */
export function textOf(element: HtmlElement | null): string {
  return (element?.textContent ?? "").replace(/\s+/g, " ").trim();
}
