// One page of a shape: its HTML, what its media is, and the other URLs of its site.
import { htmlResponse, type Site } from "../sites.ts";
import { DECOYS, type Link, PAGE_URL, type Variant } from "./variant.ts";

export interface ShapePage {
  /** Complete HTML, or what is between the decoys. */
  readonly html: string;
  readonly url: string;
  readonly kind: string;
  /** The page has nothing but `html`: JSON, for example. */
  readonly isWhole?: boolean;
  /** Of its response. */
  readonly headers?: readonly (readonly [string, string])[];
  /** What the page's URL has in addition: a query or a fragment. */
  readonly path?: string;
  /** How the report goes on after the shape: `jwplayer: setup-file` in the page that was loaded. */
  readonly then?: string;
  /** Other responses by `host/path`. */
  readonly sites?: Readonly<Record<string, Site>>;
}

export type MakePage = (variant: Variant) => ShapePage;

/** A script as the only one of the page that matters. */
export interface ShapeScript {
  readonly script: string;
  readonly url: string;
  readonly kind: string;
}

export type MakeScript = (variant: Variant) => ShapeScript;

export function scriptPage(make: MakeScript): MakePage {
  return (variant) => {
    const { script, ...media } = make(variant);
    return { html: inScript(script, variant), ...media };
  };
}

export function inScript(script: string, variant: Variant): string {
  return `<div id="vplayer"></div><${variant.tag("script")}>${script}</${variant.tag("script")}>`;
}

export function hls({ url }: Link): { readonly url: string; readonly kind: "hls" } {
  return { url, kind: "hls" };
}

export function mp4({ url }: Link): { readonly url: string; readonly kind: "mp4" } {
  return { url, kind: "mp4" };
}

/** The sites that serve a page. */
export function sitesOf({ html, isWhole, headers = [], sites = {} }: ShapePage): Readonly<Record<string, Site>> {
  const page = isWhole
    ? html
    : `<!doctype html><html><head><title>Episode</title></head><body>${DECOYS}${html}</body></html>`;
  const byHost: Record<string, Site> = {};
  for (const host of new Set(["player.test", ...Object.keys(sites).map((key) => key.split("/")[0]!)])) {
    byHost[host] = (request, url) => {
      const isPage = `${url.origin}${url.pathname}` === PAGE_URL && !request.headers.has("x-inertia");
      const site = sites[`${host}${url.pathname}`];
      if (isPage) return htmlResponse(page, { headers: headersOf(headers) });
      return site === undefined ? new Response("not found", { status: 404 }) : site(request, url);
    };
  }
  return byHost;
}

function headersOf(given: readonly (readonly [string, string])[]): Headers {
  const headers = new Headers({ "content-type": "text/html" });
  for (const [name, value] of given) name === "set-cookie" ? headers.append(name, value) : headers.set(name, value);
  return headers;
}
