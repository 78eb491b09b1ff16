// The request by which two recipes ask a site for the iframe of one server option. Runs on: Deno, edge runtime.
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

/** WordPress answers `-1` to an expired nonce, with 200 or 403. */
export class NonceExpired extends Error {
  override readonly name = "NonceExpired";
}

/** The embed address of the option. @throws {SourceError | NonceExpired} */
export async function askForPlayer(request: AjaxPlayerRequest, pages: PageClient): Promise<HttpUrl> {
  const { pageUrl, ajaxUrl, fields } = request;
  const answer = await pages.read(ajaxUrl, {
    method: "POST",
    headers: { referer: pageUrl, origin: new URL(pageUrl).origin, "x-requested-with": "XMLHttpRequest" },
    body: () => formOf(fields),
    acceptBody: (status, text) => status === 403 && text.trim() === "-1",
  });
  const text = answer.text.trim();
  if (text === "-1") throw new NonceExpired();
  // WordPress' answer to an action it does not know.
  if (text === "" || text === "0") throw new SourceError("empty", "the site has no player for this server");
  const address = iframeUrl(text, pageUrl);
  if (address === null) throw new SourceError("parse", "the site's answer holds no iframe");
  return address;
}

function formOf(fields: Readonly<Record<string, string>>): FormData {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) form.set(name, value);
  return form;
}
