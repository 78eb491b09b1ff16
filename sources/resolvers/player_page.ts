// An embed page, read once for all resolvers: its tags, what its scripts do, and what its packed scripts do.
// Example: readPlayerPage({ url, html, headers }, createParseBudget()).plain.calls → [{ path: "jwplayer().setup", … }].
// Runs on: Deno, edge runtime.
import { createWorkBudget, type ParseBudget, type WorkBudget } from "../page/parse_budget.ts";
import { type Tag, tags } from "../page/tags.ts";
import { decodePercent, fromBase64 } from "../script/calls.ts";
import { elementLookup } from "../script/elements.ts";
import { ScriptReader } from "../script/reader.ts";
import { ScriptRecord, ScriptScope } from "../script/record.ts";
import { MAX_UNPACKED, unpackBlocks } from "./packed_script.ts";

export interface EmbedPage {
  readonly url: string;
  readonly html: string;
  readonly headers?: Headers;
}

export interface PlayerPage extends EmbedPage {
  readonly tags: readonly Tag[];
  /** The scripts of the page, with those that they decode and run. */
  readonly plain: ScriptPart;
  readonly packed: ScriptPart;
  readonly packedBlocks: number;
  /** How many of the blocks could be unpacked. */
  readonly unpackedBlocks: number;
  readonly work: WorkBudget;
}

export interface ScriptPart {
  readonly record: ScriptRecord;
  /** The tags of the HTML that the scripts add to the page. */
  readonly tags: readonly Tag[];
}

/** Of an element or attribute, next to its characters. */
const TAG_WORK = 8;
const MAX_SCRIPTS = 400;
/** Characters of functions' bodies that are read again with the arguments of calls. */
const MAX_APPLIED = 200_000;
const MAX_NESTED = 40;
const NOT_SCRIPT = /json|template|html|text\/x-|importmap|speculationrules|text\/plain|ld\+/i;
const DATA_URI = /^data:(?:text|application)\/(?:x-)?javascript[^,]{0,60}?(;base64)?,/i;

/** @throws {SourceError} `too_large` if the work exceeds the budget */
export function readPlayerPage(page: EmbedPage, budget: ParseBudget): PlayerPage {
  const work = createWorkBudget(budget);
  work.spend(page.html.length);
  const found = readTags(page.html, work);
  const scope = new ScriptScope();
  for (const [name, value] of locationOf(page.url)) scope.set(name, value);
  const context = {
    scope,
    work,
    elements: elementLookup(found, work),
    hoisted: new Map(),
    applications: { left: MAX_APPLIED, depth: 0 },
  };
  const [plain, packed] = [new ScriptRecord(), new ScriptRecord()];
  const packedTexts: string[] = [];
  let [packedBlocks, unpacked] = [0, 0];

  const unpack = (text: string) => {
    work.spend(text.length);
    const { texts, count } = unpackBlocks(text, MAX_UNPACKED - unpacked);
    packedBlocks += count;
    for (const one of texts) {
      unpacked += one.length;
      packedTexts.push(one);
    }
  };
  /** Reads scripts, and those that they run or unpack to. */
  const readAll = (texts: readonly string[], record: ScriptRecord) => {
    for (const text of texts) {
      unpack(text);
      new ScriptReader(text, { ...context, record }).read();
    }
    for (let next = 0; next < Math.min(record.code.length, MAX_NESTED); next++) {
      unpack(record.code[next]!);
      new ScriptReader(record.code[next]!, { ...context, record }).read();
    }
  };
  for (const { attributes } of found) {
    const html = attributes.get("srcdoc"); // a frame's page
    if (html !== undefined && plain.markup.length < MAX_NESTED) plain.markup.push(html);
  }
  readAll(scriptTexts(found, page), plain);
  for (let next = 0; next < Math.min(packedTexts.length, MAX_NESTED); next++) readAll([packedTexts[next]!], packed);
  for (const record of [plain, packed]) {
    // `document.write(unescape("%3Cscript%3E…"))`
    const added = markupOf(record, work).filter(({ name }) => name === "script").map(({ text }) => text);
    readAll(added.slice(0, MAX_NESTED), record);
  }
  for (const record of [plain, packed]) record.settle(scope, work);
  return {
    ...page,
    tags: found,
    plain: { record: plain, tags: markupOf(plain, work) },
    packed: { record: packed, tags: markupOf(packed, work) },
    packedBlocks,
    unpackedBlocks: packedTexts.length,
    work,
  };
}

function readTags(html: string, work: WorkBudget): readonly Tag[] {
  const found: Tag[] = [];
  for (const tag of tags(html)) {
    if (tag.name === "") continue;
    work.spend(TAG_WORK * (1 + tag.attributes.size));
    found.push(tag);
  }
  return found;
}

function scriptTexts(found: readonly Tag[], { html, headers }: EmbedPage): readonly string[] {
  if (/javascript/i.test(headers?.get("content-type") ?? "")) return [html];
  const texts: string[] = [];
  for (const { name, attributes, text } of found) {
    if (name === "script" && !NOT_SCRIPT.test(attributes.get("type") ?? "")) {
      const source = attributes.get("src") ?? "";
      texts.push(source.startsWith("data:") ? dataScript(source) : text);
    }
    for (const [attribute, value] of attributes) {
      if (attribute.startsWith("on")) texts.push(value);
      // Options as an expression: `x-data="{ url: '…' }"`, `:sources="[…]"`.
      else if (/^(?:x-data|data-setup|:\w|v-bind:)/.test(attribute) && /^\s*[[{]/.test(value)) {
        texts.push(`attributeOptions = ${value}`);
      }
    }
    if (texts.length >= MAX_SCRIPTS) break;
  }
  return texts;
}

/** The script in a `data:` URI. */
function dataScript(source: string): string {
  const match = DATA_URI.exec(source);
  if (match === null) return "";
  const body = source.slice(match[0].length);
  return match[1] === undefined ? decodePercent(body) : fromBase64(decodePercent(body)) ?? "";
}

/** The tags of the HTML that a script writes, appends or sets as `innerHTML`. */
function markupOf({ markup, assignments }: ScriptRecord, work: WorkBudget): readonly Tag[] {
  const set = assignments.flatMap(({ path, value }) =>
    /\.(?:inner|outer)HTML$/.test(path) && typeof value === "string" && value.includes("<") ? [value] : []
  );
  return [...markup, ...set].slice(0, MAX_NESTED).flatMap((html) => {
    work.spend(html.length);
    return readTags(html, work);
  });
}

function locationOf(page: string): readonly (readonly [string, string])[] {
  const url = new URL(page);
  const parts = (["href", "origin", "protocol", "host", "hostname", "pathname", "search", "hash"] as const)
    .map((name) => [name, url[name]] as const);
  return [
    ...parts.flatMap(([name, value]) => [[`location.${name}`, value], [`document.location.${name}`, value]] as const),
    ["document.URL", url.href],
    ["document.domain", url.hostname],
  ];
}
