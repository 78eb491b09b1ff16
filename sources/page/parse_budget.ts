// Limits how much HTML is parsed for one response. The edge allows a request 2 s of CPU and 256 MB; the cost of a tree grows with
// its nodes (half a megabyte of `<i a b c>` takes a second) and, for every node, with its depth.
// Example: chargeParse(html, createParseBudget()). Runs on: Deno, edge runtime.
import { SourceError } from "../source_error.ts";
import { tags } from "./tags.ts";

/** Limit of one parsed page. A title's page with 2,000 episodes has about 300 kB. */
export const MAX_PARSED_PAGE_BYTES = 512 * 1024;
/** Characters, plus NODE_WEIGHT for every element and attribute: about 0.6 s in the worst case. */
const RESPONSE_WEIGHT = 1536 * 1024;
const NODE_WEIGHT = 8;
/** Each `<` of `<<<<` becomes a text node, which costs more than a tag: half a megabyte took six seconds. */
const BRACKET_WEIGHT = 32;
/** Pages nest a few dozen levels, and browsers stop at 512; a descendant selector walks every level for every element. */
const MAX_DEPTH = 256;

const VOID = new Set("area base br col embed hr img input link meta param source track wbr".split(" "));
/** Elements that end where the next of their kind begins. */
const ENDED_BY_NEXT = new Set("dd dt li option p td th tr".split(" "));

/** Work on the players of one page: characters read, expressions and values. A player's page takes about twice its length. */
export const MAX_PAGE_WORK = 4 * 1024 * 1024;
/** The same for all pages of a response: about a second. */
const RESPONSE_WORK = 6 * 1024 * 1024;

/** Shared by all pages of one response. */
export interface ParseBudget {
  left: number;
  /** Of the work on players. */
  workLeft: number;
}

/** The work on one page. */
export interface WorkBudget {
  readonly spent: number;
  /** @throws {SourceError} `too_large` if the page or the response exceeds its budget */
  spend(units: number): void;
}

export function createParseBudget(): ParseBudget {
  return { left: RESPONSE_WEIGHT, workLeft: RESPONSE_WORK };
}

export function createWorkBudget(budget: ParseBudget, limit = MAX_PAGE_WORK): WorkBudget {
  let spent = 0;
  return {
    get spent() {
      return spent;
    },
    spend(units) {
      spent += units;
      budget.workLeft -= units;
      if (spent > limit) throw new SourceError("too_large", "the page's scripts take too much work to read");
      if (budget.workLeft < 0) {
        throw new SourceError("too_large", "the pages of this response take too much work to read");
      }
    },
  };
}

/** @throws {SourceError} `too_large` if the page nests too deeply or exceeds the budget */
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
  if (weight > budget.left) throw new SourceError("too_large", "the pages of this response are too large to be parsed");
  budget.left -= weight;
}
