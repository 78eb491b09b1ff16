// Resolver `json-api`: the page's script fetches the URL of the media. Its requests are repeated as they are written, within limits.
// Example: fetch("/api/source/7", { method: "POST", headers: { "X-Token": token } }) → { "sources": [{ "file": … }] }.
// Runs on: Deno, edge runtime.
import { sessionOf } from "./api_session.ts";
import type { ApiRequest, RequestStyle } from "./api_requests.ts";
import { isComplete } from "./api_values.ts";
import { MediaFinder } from "./media.ts";
import type { PlayerPage } from "./player_page.ts";
import type { Family, Shape } from "./shape.ts";

export const JSON_API: Family = {
  name: "json-api",
  what: "a request that returns the media's URL as JSON, text, HTML or a redirect",
  shapes: [
    style("fetch", "`fetch(url, { method, headers, body })`"),
    style("jquery-get", "`$.getJSON(url, data)`, `$.get(url)`"),
    style("jquery-post", "`$.post(url, data)`"),
    style("jquery-ajax", "`$.ajax({ url, type, data, headers })`, also with `$.ajaxSetup`"),
    style("axios", "`axios.get(url, { params })`, `axios.post(url, data)`, `axios({ url })`"),
    style("xml-http-request", "`xhr.open(method, url)`, `setRequestHeader`, `send(body)`"),
    style("data-attributes", '`<div data-api="/api/source" data-id data-token>`'),
    {
      name: "two-steps",
      what: 'a request with a value of an earlier response: `fetch("/source?token=" + t.token)`',
      find: (page, tools) => sessionOf(page, tools).run(() => true),
    },
    {
      name: "html-response",
      what: 'a request that returns the player as HTML, also in JSON: `{ "html": "<iframe …>" }`',
      find: (page, tools) => sessionOf(page, tools).framed,
    },
    {
      name: "json-response",
      what: "the embed page itself is JSON",
      find: (page) => jsonResponse(page),
    },
  ],
};

/** Requests that need no earlier response. */
function style(name: RequestStyle, what: string): Shape {
  return {
    name,
    what,
    find: (page, tools) => sessionOf(page, tools).run((request) => request.style === name && isWhole(request)),
  };
}

function isWhole({ url, body, headers }: ApiRequest): boolean {
  return [url, body, headers].every(isComplete);
}

function jsonResponse(page: PlayerPage): MediaFinder | null {
  if (!/^\s*[[{]/.test(page.html.slice(0, 100))) return null;
  page.work.spend(page.html.length);
  try {
    return new MediaFinder(page).add(JSON.parse(page.html), "file");
  } catch {
    return null; // text that begins with a bracket
  }
}
