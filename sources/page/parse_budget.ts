// How much HTML may become a tree for one answer. The edge gives a request 2 s of CPU and 256 MB, a tree costs in proportion
// to its nodes (half a megabyte of `<i a b c>` takes a second), and in proportion to its depth for every node on top of that.
// Example: chargeParse(html, createParseBudget()). Runs on: Deno, edge runtime.
import { SourceError } from "../source_error.ts";
import { tags } from "./tags.ts";

/** Of one page that is parsed, on the wire. A title's page with 2,000 episodes has some 300 kB. */
export const MAX_PARSED_PAGE_BYTES = 512 * 1024;
/** Characters, plus NODE_WEIGHT for every element and attribute: some 0.6 s at the worst. */
const RESPONSE_WEIGHT = 1536 * 1024;
const NODE_WEIGHT = 8;
/** `<<<<` becomes a piece of text for each, and costs more than tags do: half a megabyte took six seconds. */
const BRACKET_WEIGHT = 32;
/** Pages nest a few dozen deep, and browsers stop at 512; a descendant selector walks all of it for every element. */
const MAX_DEPTH = 256;

const VOID = new Set("area base br col embed hr img input link meta param source track wbr".split(" "));
/** Elements that end where the next of their kind begins. */
const ENDED_BY_NEXT = new Set("dd dt li option p td th tr".split(" "));

/** Shared by everything that is read for one answer; what is parsed is taken off. */
export interface ParseBudget {
  left: number;
}

export function createParseBudget(): ParseBudget {
  return { left: RESPONSE_WEIGHT };
}

/** @throws {SourceError} `too_large` when the page nests too deep, or is more than what is left. */
export function chargeParse(html: string, budget: ParseBudget): void {
  let weight = html.length;
  const open: string[] = [];
  const counts = new Map<string, number>();
  const count = (name: string, by: number) => counts.set(name, (counts.get(name) ?? 0) + by);
  for (const { name, attributes } of tags(html)) {
    if (weight > budget.left) break;
    if (name === "") {
      weight += BRACKET_WEIGHT;
      continue;
    }
    if (name.startsWith("/")) {
      const closed = name.slice(1);
      if (!counts.get(closed)) continue; // closes nothing
      for (let last = open.pop(); last !== undefined; last = open.pop()) {
        count(last, -1);
        if (last === closed) break;
      }
      continue;
    }
    weight += NODE_WEIGHT * (1 + attributes.size);
    if (VOID.has(name) || (ENDED_BY_NEXT.has(name) && open.at(-1) === name)) continue;
    if (open.push(name) > MAX_DEPTH) throw new SourceError("too_large", `the page nests deeper than ${MAX_DEPTH}`);
    count(name, 1);
  }
  if (weight > budget.left) throw new SourceError("too_large", "the pages of this answer are too large to be parsed");
  budget.left -= weight;
}
