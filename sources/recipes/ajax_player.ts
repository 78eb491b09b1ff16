// Requests the iframe of a server option from a site; shared by two recipes. Runs on: Deno, edge runtime.
import type { HttpUrl } from "../../core/http_url.ts";
import { iframeUrl } from "../page/iframe.ts";
import type { PageClient } from "../fetch/page_client.ts";
import { SourceError } from "../source_error.ts";

export interface AjaxPlayerRequest {
  /** The page that lists the option: Referer, and its site is the Origin. */
  readonly pageUrl: string;
  readonly ajaxUrl: string;
  readonly fields: Readonly<Record<string, string>>;
}

/** WordPress responds with `-1` to an expired nonce, with status 200 or 403. */
export class NonceExpired extends Error {
  override readonly name = "NonceExpired";
}

/** The embed URL of the option. @throws {SourceError | NonceExpired} */
export async function askForPlayer(request: AjaxPlayerRequest, pages: PageClient): Promise<HttpUrl> {
  const { pageUrl, ajaxUrl, fields } = request;
  const response = await pages.read(ajaxUrl, {
    method: "POST",
    headers: { referer: pageUrl, origin: new URL(pageUrl).origin, "x-requested-with": "XMLHttpRequest" },
    body: () => formOf(fields),
    acceptBody: (status, text) => status === 403 && text.trim() === "-1",
  });
  const text = response.text.trim();
  if (text === "-1") throw new NonceExpired();
  // WordPress' response to an unknown action.
  if (text === "" || text === "0") throw new SourceError("empty", "the site has no player for this server");
  const url = iframeUrl(text, pageUrl);
  if (url === null) throw new SourceError("parse", "the site's response contains no iframe");
  return url;
}

function formOf(fields: Readonly<Record<string, string>>): FormData {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) form.set(name, value);
  return form;
}
