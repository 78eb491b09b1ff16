// Synthetic sites: one with a search page, and a Jikan-like metadata API with its failures.
import { htmlResponse, type Site } from "./sites.ts";

export interface SearchSite {
  readonly site: Site;
  readonly queries: readonly string[];
}

/** A site whose search lists the titles that share a word with the query, as `article a[title]`. */
export function searchSite(titles: readonly string[]): SearchSite {
  const queries: string[] = [];
  return {
    queries,
    site(_request, url) {
      const query = url.searchParams.get("s") ?? "";
      queries.push(query);
      const words = query.toLowerCase().split(" ");
      const found = titles.filter((title) => words.some((word) => title.toLowerCase().includes(word)));
      const list = found.map((title) =>
        `<article><a href="/anime/${encodeURIComponent(title)}/" title="${title}"><img></a></article>`
      );
      return htmlResponse(`<main>${list.join("")}</main>`);
    },
  };
}

export interface TitleRecord {
  readonly title: string;
  readonly titles?: readonly string[];
  readonly year?: number | null;
  readonly aired?: string | null;
}

/** Responses of the API in turn: a record, or the status of a failure (429 with Retry-After, 408, 504, 404). */
export function titleApi(...responses: readonly (TitleRecord | number)[]) {
  let calls = 0;
  const site: Site = () => {
    const response = responses[Math.min(calls++, responses.length - 1)]!;
    if (typeof response === "number") {
      return Response.json({ status: response, type: "Failure" }, {
        status: response,
        headers: response === 429 ? { "retry-after": "0" } : {},
      });
    }
    const { title, titles = [], year = null, aired = null } = response;
    return Response.json({
      data: {
        mal_id: 1,
        title,
        titles: titles.map((name) => ({ type: "Synonym", title: name })),
        title_synonyms: [],
        year,
        aired: { from: aired },
      },
    });
  };
  return { site, calls: () => calls };
}
