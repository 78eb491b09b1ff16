// Resolver `inertia-page`: a page with its state as JSON, as Inertia and similar frameworks write it.
// Example: <div id="app" data-page="{&quot;props&quot;:{&quot;url&quot;:…}}">. Runs on: Deno, edge runtime.
import { decodeReferences } from "../page/tags.ts";
import { decodePercent, fromBase64 } from "../script/calls.ts";
import { isObject, type ScriptObject, type Value } from "../script/values.ts";
import { SourceError } from "../source_error.ts";
import { deferredProps } from "./inertia_deferred.ts";
import { optionAttributes } from "./element_shapes.ts";
import { MediaFinder } from "./media.ts";
import type { PlayerPage } from "./player_page.ts";
import type { Family } from "./shape.ts";

const STATE_SCRIPT = /^(?:__NEXT_DATA__|__NUXT_DATA__|__NUXT__|initial-?state|page-?data|app-?data|state|data|props)$/i;
const STATE_VARIABLE =
  /^(?:__INITIAL_STATE__|__NUXT__|__APP_STATE__|__PRELOADED_STATE__|__DATA__|initialPage|pageProps|page|_?inertia\w*)$/i;

const COMPONENT_ATTRIBUTE = /^(?:wire:(?:snapshot|initial-data)|data-(?:react-)?(?:props|state))$/;

export const INERTIA_PAGE: Family = {
  name: "inertia-page",
  what: "the page's state as JSON (Inertia, Next.js, Nuxt)",
  shapes: [
    {
      name: "props-url",
      what: '`<div data-page=\'{ "props": { "url": … } }\'>`; null: for subscribers only',
      find: (page) => propsUrl(attributeState(page), page),
    },
    {
      name: "props-nested",
      what: '`data-page` with the media deeper in its props: `{ "props": { "video": { "sources": […] } } }`',
      find: (page) => nestedProps(attributeState(page), page),
    },
    {
      name: "encoded-attribute",
      what: "`data-page` as percent-encoded JSON, base64, or with its references encoded twice",
      find: (page) => inState(encodedState(page), page),
    },
    {
      name: "script-element",
      what: '`<script data-page="app" type="application/json">`',
      find: (page) => inState(scriptState(page, ({ attributes }) => attributes.has("data-page")), page),
    },
    {
      name: "page-variable",
      what: "`window.initialPage = { props }`, `createInertiaApp({ page: { props } })`",
      find: (page) => inState(variableState(page), page),
    },
    {
      name: "json-response",
      what: "the response itself is the page object, with `X-Inertia`",
      find: (page) => inState(responseState(page), page),
    },
    {
      name: "state-script",
      what: '`<script id="__NEXT_DATA__" type="application/json">`',
      find: (page) =>
        inState(scriptState(page, ({ attributes }) => STATE_SCRIPT.test(attributes.get("id") ?? "")), page),
    },
    {
      name: "component-attribute",
      what: "`wire:snapshot`, `data-props`, `data-state` and the like, of Livewire, React and others",
      find: (page) => optionAttributes(page.tags, page, COMPONENT_ATTRIBUTE, { isPageState: true }),
    },
    {
      name: "deferred-props",
      what: "`deferredProps`: the props are fetched with `X-Inertia-Partial-Data`",
      find: (page, { pages }) =>
        deferredProps(
          attributeState(page) ?? scriptState(page, ({ attributes }) => attributes.has("data-page")),
          page,
          pages,
        ),
    },
  ],
};

/** @throws {SourceError} `parse`, `subscription` */
function propsUrl(state: ScriptObject | null, page: PlayerPage): MediaFinder | null {
  if (state === null) return null;
  const { props } = state;
  if (!isObject(props) || !["string", "undefined", "object"].includes(typeof props.url)) {
    throw new SourceError("parse", "the page's state is invalid");
  }
  if (typeof props.url === "string" && props.url !== "") {
    const finder = new MediaFinder(page).add(props.url, "file", {
      type: props.type ?? props.mime_type,
      label: props.quality ?? props.label,
    });
    if (finder.isEmpty && finder.decoys === 0) {
      throw new SourceError("parse", "the page's state names a URL that is not media");
    }
    return finder.assumeKind("mp4").addTracks(props.subtitles ?? props.tracks ?? props.captions);
  }
  if (props.url !== null && props.url !== "") return null;
  if (nestedProps(state, page)?.isEmpty === false) return null;
  // The page shows its URL to subscribers only.
  throw new SourceError("subscription", "the page has no media URL for visitors");
}

function nestedProps(state: ScriptObject | null, page: PlayerPage): MediaFinder | null {
  if (state === null || !isObject(state.props)) return null;
  return new MediaFinder(page, { isPageState: true }).add(state.props, "props");
}

function inState(state: Value | null, page: PlayerPage): MediaFinder | null {
  if (state === null) return null;
  const props = isObject(state) && isObject(state.props) ? state.props : state;
  const finder = new MediaFinder(page, { isPageState: true });
  if (isObject(props) && typeof props.url === "string" && isObject(state) && props !== state) {
    finder.add(props.url, "videoUrl");
  }
  return finder.isEmpty ? finder.add(props, "props") : finder.assumeKind("mp4");
}

/** @throws {SourceError} `parse` if the attribute begins like JSON and is not */
function attributeState(page: PlayerPage): ScriptObject | null {
  const text = attributeText(page);
  if (text === undefined || !/^\s*\{(?!&)/.test(text)) return null;
  const state = parsed(text, page);
  if (!isObject(state)) throw new SourceError("parse", "the page's state is not JSON");
  return state;
}

function encodedState(page: PlayerPage): Value | null {
  const text = attributeText(page)?.trim() ?? "";
  if (text.startsWith("{&")) return parsed(decodeReferences(text), page);
  if (/^%7B/i.test(text)) return parsed(decodePercent(text.replaceAll("+", " ")), page);
  return text.length > 20 && /^[\w+/=-]+$/.test(text) ? parsed(utf8(fromBase64(text) ?? ""), page) : null;
}

function attributeText({ tags }: PlayerPage): string | undefined {
  return tags.find(({ name, attributes }) => name !== "script" && attributes.get("data-page"))?.attributes.get(
    "data-page",
  );
}

function scriptState(page: PlayerPage, isState: (tag: PlayerPage["tags"][number]) => boolean): ScriptObject | null {
  for (const tag of page.tags) {
    if (tag.name !== "script" || !/json/i.test(tag.attributes.get("type") ?? "") || !isState(tag)) continue;
    const state = parsed(tag.text, page);
    if (isObject(state)) return state;
    if (Array.isArray(state)) return { data: state };
  }
  return null;
}

function variableState({ plain: { record } }: PlayerPage): Value | null {
  for (const { path, value } of record.assignments) if (STATE_VARIABLE.test(path) && isObject(value)) return value;
  for (const { path, args: [options] } of record.calls) {
    if (/createInertiaApp$/.test(path) && isObject(options) && isObject(options.page)) return options.page;
  }
  return null;
}

function responseState(page: PlayerPage): Value | null {
  const isJson = page.headers?.get("x-inertia") || /json/i.test(page.headers?.get("content-type") ?? "");
  const state = isJson ? parsed(page.html, page) : null;
  return isObject(state) && isObject(state.props) ? state : null;
}

function parsed(text: string, page: PlayerPage): Value | null {
  page.work.spend(text.length);
  try {
    return JSON.parse(text);
  } catch {
    return null; // reported by the caller, where it matters
  }
}

/** The text of bytes that `atob` gives as characters. */
function utf8(binary: string): string {
  return new TextDecoder().decode(Uint8Array.from(binary, (character) => character.charCodeAt(0)));
}
