// The requests that a page's scripts make, as far as they are written with literals, variables of the page and values of earlier responses.
// Example: $.post("/api/source", { id: 7 }) → { style: "jquery-post", method: "POST", url: "/api/source", body: { id: 7 }, … }.
import type { Call, ScriptRecord } from "../script/record.ts";
import {
  FormValue,
  isObject,
  JsonText,
  objectOf,
  Pattern,
  plus,
  type ScriptObject,
  Unresolved,
  type Value,
} from "../script/values.ts";
import type { Tag } from "../page/tags.ts";

export type RequestStyle =
  | "fetch"
  | "jquery-get"
  | "jquery-post"
  | "jquery-ajax"
  | "axios"
  | "xml-http-request"
  | "data-attributes";

export interface ApiRequest {
  readonly style: RequestStyle;
  readonly method: "GET" | "POST";
  /** A text, or a pattern with values of earlier responses. */
  readonly url: Value;
  readonly headers: ScriptObject;
  /** Null for a GET. */
  readonly body: Value;
}

const API_ATTRIBUTE = /^data-(?:[\w-]*-)?(?:api|endpoint|ajax|source-url|api-url|fetch|request)(?:-url)?$/;
const PARAMETER_ATTRIBUTE =
  /^data-(id|token|hash|key|code|sig|signature|expires|nonce|video-id|file-id|server|post|episode|slug|t|v)$/;
/** Requests that do not lead to media. */
const OTHER_PURPOSE =
  /(?:^|[/_.-])(?:log|logs|track|tracking|stats?|count|counter|views?|ping|beacon|collect|analytics|comments?|vote|like|rate|rating|report|search|login|logout|register|subscribe|newsletter|captcha|cookie|consent|ads?|history|bookmark|notify|notifications?)(?:[/_.?-]|$)/i;

export function apiRequests(record: ScriptRecord, tags: readonly Tag[]): readonly ApiRequest[] {
  const requests: ApiRequest[] = [];
  const defaults = defaultHeaders(record);
  for (const [index, call] of record.calls.entries()) {
    const request = requestOf(call, record.calls, index);
    if (request !== null) requests.push({ ...request, headers: { ...defaults, ...request.headers } });
  }
  for (const tag of tags) {
    const request = attributeRequest(tag);
    if (request !== null) requests.push(request);
  }
  return requests.filter(({ url }) => isUrl(url) && !OTHER_PURPOSE.test(textOf(url)));
}

function requestOf(call: Call, calls: readonly Call[], index: number): ApiRequest | null {
  const { path, args: [first = null, second = null, third = null] } = call;
  if (/(?:^|\.)fetch$/.test(path)) return fromOptions("fetch", first, second);
  const jquery = /^(?:\$|jQuery)\.(get|post|getJSON|ajax)$/.exec(path)?.[1];
  if (jquery === "ajax") {
    return isObject(first)
      ? fromOptions("jquery-ajax", first.url ?? null, first)
      : fromOptions("jquery-ajax", first, second);
  }
  if (jquery === "post") {
    return { style: "jquery-post", method: "POST", url: first, headers: AJAX_HEADERS, body: dataOf(second) };
  }
  if (jquery !== undefined) {
    return {
      style: "jquery-get",
      method: "GET",
      url: withQuery(first, dataOf(second)),
      headers: AJAX_HEADERS,
      body: null,
    };
  }
  const axios = /(?:^|\.)\$?(?:axios|http|api|client)(?:\(\))?(?:\.\$?(get|post|request))?$/i.exec(path);
  if (axios !== null) return axiosRequest(axios[1], first, second, third);
  return /\.open$/.test(path) && typeof first === "string" && /^(?:GET|POST)$/i.test(first)
    ? xhrRequest(call, calls, index)
    : null;
}

const AJAX_HEADERS: ScriptObject = { "x-requested-with": "XMLHttpRequest" };

/** Options of fetch and $.ajax. */
function fromOptions(style: RequestStyle, url: Value, options: Value): ApiRequest {
  const given = isObject(options) ? options : {};
  const method = String(given.method ?? given.type ?? "GET").toUpperCase() === "POST" ? "POST" : "GET";
  const headers = { ...(style === "jquery-ajax" ? AJAX_HEADERS : {}), ...headersOf(given.headers) };
  const body = dataOf(given.body ?? given.data ?? null);
  const isJson = /json/i.test(String(given.contentType ?? "")) && isObject(body);
  if (method === "POST") return { style, method, url, headers, body: isJson ? new JsonText(body) : body };
  return { style, method, url: withQuery(url, body), headers, body: null };
}

function axiosRequest(method: string | undefined, first: Value, second: Value, third: Value): ApiRequest | null {
  if (method === undefined || method.toLowerCase() === "request") {
    if (!isObject(first)) return typeof first === "string" ? axiosRequest("get", first, second, null) : null;
    const { url = null, data = null, params = null } = first;
    return { ...fromOptions("axios", withQuery(url, params), first), body: bodyOfAxios(data) };
  }
  if (method.toLowerCase() === "post") {
    const headers = isObject(third) ? headersOf(third.headers) : {};
    return { style: "axios", method: "POST", url: first, headers, body: bodyOfAxios(second) };
  }
  const options = isObject(second) ? second : {};
  return {
    style: "axios",
    method: "GET",
    url: withQuery(first, options.params ?? null),
    headers: headersOf(options.headers),
    body: null,
  };
}

/** axios sends objects as JSON. */
function bodyOfAxios(data: Value): Value {
  return isObject(data) ? new JsonText(data) : data;
}

/** `open`, with the `setRequestHeader` and `send` of the same object that follow. */
function xhrRequest({ path, args }: Call, calls: readonly Call[], index: number): ApiRequest {
  const owner = path.slice(0, -".open".length);
  const headers = objectOf();
  let body: Value = null;
  for (const { path: next, args: [name = null, value = null] } of calls.slice(index + 1, index + 40)) {
    if (next === path) break;
    if (next === `${owner}.setRequestHeader` && typeof name === "string") headers[name.toLowerCase()] = value;
    if (next !== `${owner}.send`) continue;
    body = name;
    break;
  }
  const method = String(args[0]).toUpperCase() === "POST" ? "POST" : "GET";
  return { style: "xml-http-request", method, url: args[1] ?? null, headers, body: method === "POST" ? body : null };
}

/** `<div data-api="/api/source" data-id="7" data-token="…">`: the other attributes are its parameters. */
function attributeRequest({ attributes }: Tag): ApiRequest | null {
  for (const [name, value] of attributes) {
    if (!API_ATTRIBUTE.test(name) || value === "") continue;
    const parameters = objectOf();
    for (const [key, text] of attributes) {
      const parameter = PARAMETER_ATTRIBUTE.exec(key)?.[1];
      if (parameter !== undefined) parameters[parameter.replaceAll("-", "_")] = text;
    }
    const isPost = /^post$/i.test(attributes.get("data-method") ?? "");
    return {
      style: "data-attributes",
      method: isPost ? "POST" : "GET",
      url: isPost ? value : withQuery(filledPath(value, parameters), parameters),
      headers: AJAX_HEADERS,
      body: isPost ? parameters : null,
    };
  }
  return null;
}

/** `/api/{id}` with the id; a parameter of the path is not repeated in the query. */
function filledPath(path: string, parameters: ScriptObject): string {
  return path.replace(/\{(\w{1,20})\}|:(\w{1,20})(?=\/|$)/g, (whole, braced, named) => {
    const value = parameters[braced ?? named];
    if (typeof value !== "string") return whole;
    delete parameters[braced ?? named];
    return encodeURIComponent(value);
  });
}

/** Headers that scripts set for all requests: `$.ajaxSetup`, `axios.defaults.headers`. */
function defaultHeaders({ calls, assignments }: ScriptRecord): ScriptObject {
  const headers = objectOf();
  for (const { path, args: [options] } of calls) {
    if (/\.ajaxSetup$/.test(path) && isObject(options)) Object.assign(headers, headersOf(options.headers));
  }
  for (const { path, value } of assignments) {
    const name = /\.defaults\.headers\.(?:common|get|post)\.([\w-]{1,60})$/.exec(path)?.[1];
    if (name !== undefined) headers[name.toLowerCase()] = value;
  }
  return headers;
}

function headersOf(value: Value | undefined): ScriptObject {
  const headers = objectOf();
  if (isObject(value)) {
    for (const [name, inner] of Object.entries(value).slice(0, 20)) headers[name.toLowerCase()] = inner;
  }
  return headers;
}

/** Data of a request: not a callback. */
function dataOf(value: Value): Value {
  const isData = typeof value === "string" || value instanceof JsonText || value instanceof FormValue ||
    value instanceof Pattern || isObject(value);
  return isData ? value : null;
}

export function withQuery(url: Value, data: Value): Value {
  if (typeof data === "string") return data === "" ? url : plus(plus(url, separatorOf(url)), data.replace(/^\?/, ""));
  if (!isObject(data)) return url;
  let result = url;
  for (const [name, value] of Object.entries(data).slice(0, 50)) {
    if (
      value === null || (typeof value === "object" && !(value instanceof Unresolved) && !(value instanceof Pattern))
    ) continue;
    result = plus(
      plus(result, `${separatorOf(result)}${encodeURIComponent(name)}=`),
      typeof value === "string" ? encodeURIComponent(value) : value,
    );
  }
  return result;
}

function separatorOf(url: Value): string {
  return textOf(url).includes("?") ? "&" : "?";
}

function isUrl(url: Value): boolean {
  return (typeof url === "string" && url !== "" && url.length < 4096) || url instanceof Pattern;
}

/** The literal parts. */
function textOf(url: Value): string {
  if (typeof url === "string") return url;
  return url instanceof Pattern ? url.parts.filter((part) => typeof part === "string").join("") : "";
}
