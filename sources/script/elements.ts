// Elements of the page that a script looks up, by simple selectors.
// Example: elementLookup(tags, work)('meta[name="csrf-token"]') → the tag; elementMember(tag, "content") → "…".
import type { WorkBudget } from "../page/parse_budget.ts";
import { objectOf, type Value } from "./values.ts";
import type { Tag } from "../page/tags.ts";

export type ElementLookup = (selector: string) => Tag | null;

const MAX_SELECTOR = 200;
const MAX_SELECTORS = 100;

const QUERIES = new Set(["$", "jQuery", "document.querySelector", "document.getElementById"]);
/** Of lists, the first element is known. */
const LIST_QUERIES: Readonly<Record<string, (text: string) => string>> = {
  "document.querySelectorAll": (text) => text,
  "document.getElementsByTagName": (text) => text,
  "document.getElementsByClassName": (text) => `.${text}`,
  "document.getElementsByName": (text) => `[name="${text}"]`,
};

export function isElementQuery(path: string): boolean {
  return QUERIES.has(path) || isListQuery(path);
}

export function isListQuery(path: string): boolean {
  return Object.hasOwn(LIST_QUERIES, path);
}

export function selectorOf(path: string, text: string): string {
  return path === "document.getElementById" ? `#${text}` : LIST_QUERIES[path]?.(text) ?? text;
}

/** Searches the page's tags once per selector. */
export function elementLookup(tags: readonly Tag[], work: WorkBudget): ElementLookup {
  const known = new Map<string, Tag | null>();
  return (selector) => {
    let tag = known.get(selector);
    if (tag !== undefined) return tag;
    const matches = known.size < MAX_SELECTORS ? matcherOf(selector) : null;
    if (matches === null) return null;
    work.spend(tags.length);
    tag = tags.find(matches) ?? null;
    known.set(selector, tag);
    return tag;
  };
}

/** Of a selector with ancestors, only its last part is compared. */
function matcherOf(selector: string): ((tag: Tag) => boolean) | null {
  if (selector.length > MAX_SELECTOR || selector.includes("<")) return null;
  const last = selector.split(",")[0]!.trim().replace(/:[\w-]+(?:\([^)]*\))?$/, "");
  const compound = /[^\s>+~[\]]*(?:\[[^\]]*\])*$/.exec(last)?.[0] ?? "";
  const [, name = "", rest = ""] = /^([a-z][\w-]*)?(.*)$/is.exec(compound) ?? [];
  const tests: ((tag: Tag) => boolean)[] = [];
  for (
    const [part, id, className, attribute, , value] of rest.matchAll(
      /#([\w-]+)|\.([\w-]+)|\[([\w-]+)([~|^$*]?=["']?([^"'\]]*)["']?)?\]/g,
    )
  ) {
    if (id !== undefined) tests.push(({ attributes }) => attributes.get("id") === id);
    else if (className !== undefined) {
      tests.push((tag) => (tag.attributes.get("class") ?? "").split(/\s+/).includes(className));
    } else if (attribute !== undefined) {
      const key = attribute.toLowerCase();
      tests.push(({ attributes }) => part.includes("=") ? attributes.get(key) === value : attributes.has(key));
    }
  }
  if (name === "" && tests.length === 0) return null;
  return (tag) => (name === "" ? tag.name !== "" : tag.name === name.toLowerCase()) && tests.every((test) => test(tag));
}

/** A property as browsers name it; undefined if it is not in the page's text. */
export function elementMember(tag: Tag, name: string): Value | undefined {
  if (name === "dataset") {
    const data = [...tag.attributes].filter(([key]) => key.startsWith("data-"));
    return objectOf(data.map(([key, value]) => [camelCase(key.slice(5)), value]));
  }
  if (/^(?:textContent|innerHTML|innerText|text)$/.test(name)) return tag.text.trim();
  return tag.attributes.get(name.toLowerCase());
}

function camelCase(name: string): string {
  return name.replace(/-([a-z])/g, (_, letter) => letter.toUpperCase());
}
