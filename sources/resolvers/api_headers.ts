// The headers of a request that a page's script makes, with what a browser adds: Referer, Origin, the page's cookies and CSRF token.
import { FormValue, isObject, JsonText, type ScriptObject, type Value } from "../script/values.ts";
import type { PlayerPage } from "./player_page.ts";

interface RequestContext {
  readonly body: Value;
  readonly method: string;
  readonly target: string;
  readonly page: PlayerPage;
}

const MAX_HEADERS = 20;
const NAME = /^[a-z0-9-]{1,60}$/;
const VALUE = /^[\x20-\x7e]{0,2000}$/;
/** Set by the client, or by the browser alone. */
const RESERVED =
  /^(?:host|cookie|content-length|connection|transfer-encoding|user-agent|referer|origin|expect|te|upgrade|via|accept-encoding|proxy-.*|sec-.*|x-forwarded-.*|forwarded)$/;

export function requestHeaders(given: ScriptObject, context: RequestContext): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(given).slice(0, MAX_HEADERS)) {
    if ((typeof value !== "string" && typeof value !== "number") || !NAME.test(name) || RESERVED.test(name)) continue;
    if (VALUE.test(String(value))) headers[name] = String(value);
  }
  const { page, target, method } = context;
  const [from, to] = [new URL(page.url), new URL(target)];
  const isSameOrigin = from.origin === to.origin;
  // A form's type includes its boundary.
  if (context.body instanceof FormValue) delete headers["content-type"];
  else if (method === "POST") headers["content-type"] ??= contentType(context.body);
  headers.accept ??= "application/json, text/javascript, */*; q=0.01";
  headers.referer = isSameOrigin ? page.url : `${from.origin}/`;
  if (method === "POST" || !isSameOrigin) headers.origin = from.origin;
  if (!isSameOrigin) return headers;
  const cookies = cookiesOf(page);
  if (cookies.size > 0) headers.cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join("; ");
  if (method === "POST") Object.assign(headers, csrfHeaders(page, cookies, headers));
  return headers;
}

function contentType(body: Value): string {
  if (body instanceof JsonText) return "application/json";
  if (typeof body === "string" && /^\s*[[{]/.test(body)) return "application/json";
  return typeof body === "string" || isObject(body) ? "application/x-www-form-urlencoded; charset=UTF-8" : "text/plain";
}

/** The cookies that the page's response sets. */
function cookiesOf({ headers }: PlayerPage): ReadonlyMap<string, string> {
  const cookies = new Map<string, string>();
  for (const cookie of headers?.getSetCookie() ?? []) {
    const [, name, value] = /^\s*([!#$%&'*+.^_`|~\w-]{1,100})=([\x21-\x3a\x3c-\x7e]{0,4000})(?:;|$)/.exec(cookie) ?? [];
    if (name !== undefined && value !== undefined && cookies.size < MAX_HEADERS) cookies.set(name, value);
  }
  return cookies;
}

/** As frameworks send it: the token of the page's <meta>, or of its cookie. */
function csrfHeaders(
  { tags }: PlayerPage,
  cookies: ReadonlyMap<string, string>,
  headers: Readonly<Record<string, string>>,
): Record<string, string> {
  const meta = tags.find(({ name, attributes }) =>
    name === "meta" && /^(?:csrf-token|_csrf|csrf)$/i.test(attributes.get("name") ?? "")
  );
  const token = meta?.attributes.get("content") ?? "";
  const cookie = cookies.get("XSRF-TOKEN");
  return {
    ...(token !== "" && VALUE.test(token) && headers["x-csrf-token"] === undefined && { "x-csrf-token": token }),
    ...(cookie !== undefined && headers["x-xsrf-token"] === undefined &&
      { "x-xsrf-token": decodeURIComponent(cookie.replace(/%(?![0-9a-f]{2})/gi, "%25")) }),
  };
}
