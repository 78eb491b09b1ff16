// Makes the requests of one page's scripts and finds the media in their responses, within a number of requests.
// Example: await sessionOf(page, tools).run((request) => request.style === "fetch").
import { type HttpUrl, parseHttpUrl } from "../../core/http_url.ts";
import type { Page } from "../fetch/page_client.ts";
import { mediaKindOfType } from "../page/media_kind.ts";
import { parseJson } from "../script/calls.ts";
import { FormValue, isObject, JsonText, objectOf, Pattern, type Value } from "../script/values.ts";
import { SourceError } from "../source_error.ts";
import { isDecoyName } from "./decoys.ts";
import { type ApiRequest, apiRequests } from "./api_requests.ts";
import { requestHeaders } from "./api_headers.ts";
import { isComplete, jsonOf, ResponseValues } from "./api_values.ts";
import { MediaFinder } from "./media.ts";
import type { PlayerPage } from "./player_page.ts";
import type { Found, ShapeTools } from "./shape.ts";

const MAX_REQUESTS = 4;
const MAX_DEPTH = 8;
const MAX_RESPONSE_BYTES = 512 * 1024;

const sessions = new WeakMap<PlayerPage, ApiSession>();

/** One session per page: its shapes share responses and limits. */
export function sessionOf(page: PlayerPage, tools: ShapeTools): ApiSession {
  let session = sessions.get(page);
  if (session === undefined) sessions.set(page, session = new ApiSession(page, tools));
  return session;
}

export class ApiSession {
  readonly requests: readonly ApiRequest[];
  readonly #page: PlayerPage;
  readonly #tools: ShapeTools;
  readonly #values: ResponseValues;
  readonly #made = new Set<string>();
  /** HTML of a response, if no response has media. */
  #framed: Found = null;
  #failure: SourceError | null = null;

  constructor(page: PlayerPage, tools: ShapeTools) {
    this.#page = page;
    this.#tools = tools;
    this.#values = new ResponseValues(tools.now());
    this.requests = [...apiRequests(page.packed.record, []), ...apiRequests(page.plain.record, page.tags)];
  }

  get isEmpty(): boolean {
    return this.requests.length === 0;
  }

  /** Makes the selected requests that can be made, in the order of the text; one that needs an earlier response follows it. */
  async run(select: (request: ApiRequest) => boolean): Promise<Found> {
    for (const request of this.requests.filter(select)) {
      const found = await this.#make(request);
      if (found instanceof MediaFinder && !found.isEmpty) return found;
    }
    return null;
  }

  /** HTML that a request returned. */
  get framed(): Found {
    return this.#framed;
  }

  /** Why the first request that failed did. */
  get failure(): SourceError | null {
    return this.#failure;
  }

  async #make(request: ApiRequest): Promise<Found> {
    const { method } = request;
    const [url, body, headers] = [request.url, request.body, request.headers].map((value) => this.#values.fill(value));
    const target = typeof url === "string" ? parseHttpUrl(url, this.#page.url) : null;
    if (target === null || !isComplete(body!) || (method === "POST" && !isSameSite(target, this.#page.url))) {
      return null;
    }
    const key = `${method} ${target} ${jsonOf(body!)}`;
    if (this.#made.has(key) || this.#made.size >= MAX_REQUESTS) return null;
    this.#made.add(key);
    const response = await this.#tools.pages.read(target, {
      method,
      maxBytes: MAX_RESPONSE_BYTES,
      headers: requestHeaders(isObject(headers) ? headers : {}, { body: body!, method, target, page: this.#page }),
      skipBody: (received) => mediaKindOfType(received.get("content-type")) !== null,
      ...(method === "POST" && { body: () => encoded(body!) }),
    }).catch((error) => this.#failed(error));
    return response === null ? null : this.#read(response, method);
  }

  /** One of several requests: another may lead to the media. */
  #failed(error: unknown): null {
    if (!(error instanceof SourceError) || this.#tools.signal.aborted) throw error;
    this.#failure ??= error;
    return null;
  }

  #read({ url, text, headers }: Page, method: string): Found {
    const finder = new MediaFinder({ url, work: this.#page.work });
    const kind = mediaKindOfType(headers.get("content-type"));
    // A playlist or file instead of its URL; the player cannot repeat a POST.
    if (kind !== null) return method === "GET" ? finder.add(url, "file").assumeKind(kind) : null;
    this.#page.work.spend(text.length);
    const plain = text.trim();
    const { value } = parseJson(plain);
    if (value !== undefined) {
      this.#values.add(typeof value === "object" ? value : String(value));
      finder.add(value, "file");
      if (finder.isEmpty) this.#compose(finder);
      if (finder.isEmpty) this.#framed ??= framedIn(value, url);
    } else if (/^(?:https?:)?\/\/[^\s<>"']+$/i.test(plain)) {
      this.#values.add(plain);
      this.#compose(finder);
      if (finder.isEmpty) finder.add(plain, "file");
    } else if (/^#EXTM3U/.test(plain)) finder.add(url, "file").assumeKind("hls");
    else if (plain.includes("<")) this.#framed ??= { framed: { url, html: plain, headers } };
    return finder;
  }

  /** URLs that the page's scripts put together from the response: `"/hls/" + data.path + "/master.m3u8"`. */
  #compose(finder: MediaFinder): void {
    for (const { record } of [this.#page.plain, this.#page.packed]) {
      const used = [
        ...record.calls.map(({ path, target, args }) => [`${path} ${target}`, args] as const),
        ...record.assignments.map(({ path, target, value }) => [`${path} ${target}`, [value]] as const),
      ];
      for (const [name, values] of used) {
        if (!finder.isEmpty) return;
        if (isDecoyName(name) || /(?:fetch|ajax|axios|open|get|post|getJSON)\b/.test(name)) continue;
        for (const value of values) {
          this.#page.work.spend(1);
          if (value instanceof Pattern || isObject(value) || Array.isArray(value)) {
            finder.add(this.#composed(value), "file");
          }
        }
      }
    }
  }

  #composed(value: Value): Value {
    return withoutUnknownParts(this.#values.fill(value), 0);
  }
}

/** Of a URL that is known to its host, parts that are still unknown, such as random characters, are left out. */
function withoutUnknownParts(value: Value, depth: number): Value {
  if (value instanceof Pattern) {
    const [first] = value.parts;
    const isUrl = typeof first === "string" && /^(?:https?:)?\/\/[^/]+\//.test(first);
    return isUrl ? value.parts.filter((part) => typeof part === "string").join("") : value;
  }
  if (depth > MAX_DEPTH) return value;
  if (Array.isArray(value)) return value.map((item) => withoutUnknownParts(item, depth + 1));
  if (!isObject(value)) return value;
  return objectOf(Object.entries(value).map(([name, inner]) => [name, withoutUnknownParts(inner, depth + 1)]));
}

/** HTML in a JSON response: `{ "html": "<iframe …>" }`. */
function framedIn(value: Value, url: HttpUrl): Found {
  if (!isObject(value)) return null;
  for (const inner of Object.values(value)) {
    if (typeof inner === "string" && /<(?:iframe|video|source|script|embed)\b/i.test(inner)) {
      return { framed: { url, html: inner } };
    }
    const nested = isObject(inner) && inner !== value
      ? Object.values(inner).find((one) => typeof one === "string" && /<(?:iframe|video)\b/i.test(one))
      : undefined;
    if (typeof nested === "string") return { framed: { url, html: nested } };
  }
  return null;
}

/** The same host, or one below the other. */
function isSameSite(url: string, page: string): boolean {
  const [a, b] = [new URL(url).hostname.replace(/^www\./, ""), new URL(page).hostname.replace(/^www\./, "")];
  return a === b || a.endsWith(`.${b}`) || b.endsWith(`.${a}`);
}

function encoded(body: Value): BodyInit {
  if (typeof body === "string") return body;
  if (body instanceof JsonText) return jsonOf(body.value);
  const fields = body instanceof FormValue ? body.fields : isObject(body) ? body : {};
  const form = body instanceof FormValue ? new FormData() : new URLSearchParams();
  for (const [name, value] of Object.entries(fields)) {
    form.append(name, typeof value === "object" && value !== null ? jsonOf(value) : String(value ?? ""));
  }
  return form;
}
