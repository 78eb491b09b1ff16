// Schema and checks of the operator's catalogue. Example: { "mal_id": 55825, "episode": 1, "title": "…",
// "rights": "own work", "sources": [{ "url": "https://own.example/ep1.mp4", "resolution": "720p" }] }.
// Runs on: Deno, edge runtime.
import { z } from "zod";
import { parseHttpUrl } from "../../core/http_url.ts";
import { declaredRights } from "../../core/rights.ts";
import { checkUrl, type UrlPolicy } from "../../core/url_policy.ts";
import { subtitleSchema } from "../source_list.ts";

export const MAX_CATALOGUE_ENTRIES = 5_000;

const httpUrl = z.url({ protocol: /^https?$/, message: "must be an http or https URL", abort: true }).max(4096)
  .refine(
    (text) => parseHttpUrl(text) !== null && !text.includes(" "),
    "must not contain spaces, control characters or user information",
  );

const resolution = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,9}$/, "must look like 720p");

export const catalogueEntrySchema = z.strictObject({
  mal_id: z.number().int().min(1).max(2 ** 31 - 1),
  episode: z.number().int().min(1).max(100_000),
  title: z.string().max(500).nullish(),
  rights: z.string().max(500).nullish().transform(declaredRights),
  sources: z.array(z.strictObject({
    url: httpUrl,
    resolution: resolution.nullish(),
    kind: z.string().regex(/^[a-z0-9_-]{1,20}$/).nullish(),
    label: z.string().max(80).nullish(),
    subtitles: z.array(subtitleSchema.extend({ url: httpUrl })).max(50).nullish(),
    chapters: z.array(z.strictObject({
      seconds: z.number().min(0).max(1e6),
      title: z.string().max(300),
      kind: z.string().regex(/^[a-z0-9_-]{1,20}$/, "must be a word such as intro").nullish(),
    })).max(100).nullish(),
  })).min(1).max(40),
});

export type CatalogueListEntry = z.infer<typeof catalogueEntrySchema>;

export interface CatalogueIssue {
  /** Index in the list. */
  readonly index: number;
  /** Index of the source within the entry. */
  readonly source: number | null;
  readonly reasons: readonly string[];
}

export type CheckedCatalogue =
  | { readonly ok: true; readonly value: readonly CatalogueListEntry[] }
  | { readonly ok: false; readonly error: readonly CatalogueIssue[] };

/** Checks a whole list and reports every invalid entry. */
export function checkCatalogue(
  list: unknown,
  { maxEntries = MAX_CATALOGUE_ENTRIES, policy = {} }: { maxEntries?: number | undefined; policy?: UrlPolicy } = {},
): CheckedCatalogue {
  if (!Array.isArray(list)) return refused("the catalogue must be a JSON array of entries");
  if (list.length > maxEntries) return refused(`at most ${maxEntries} entries at once`);
  const values: CatalogueListEntry[] = [];
  const issues: CatalogueIssue[] = [];
  const seen = new Set<string>();
  for (const [index, item] of list.entries()) {
    const parsed = catalogueEntrySchema.safeParse(item);
    if (!parsed.success) {
      for (const { path, message } of parsed.error.issues) {
        const source = path[0] === "sources" && typeof path[1] === "number" ? path[1] : null;
        issues.push({ index, source, reasons: [`${path.join(".") || "entry"}: ${message}`] });
      }
      continue;
    }
    const name = `${parsed.data.mal_id}/${parsed.data.episode}`;
    if (seen.has(name)) issues.push({ index, source: null, reasons: [`title ${name} is listed twice`] });
    seen.add(name);
    issues.push(...refusedUrls(parsed.data, policy).map((refusal) => ({ index, ...refusal })));
    values.push(parsed.data);
  }
  return issues.length === 0 ? { ok: true, value: values } : { ok: false, error: issues };
}

/** The URLs of an entry that the URL policy of functions, runner and proxy refuses. */
function refusedUrls({ sources }: CatalogueListEntry, policy: UrlPolicy): Omit<CatalogueIssue, "index">[] {
  return sources.flatMap(({ url, subtitles }, source) => {
    const places = [
      { path: `sources.${source}.url`, url },
      ...(subtitles ?? []).map(({ url }, at) => ({ path: `sources.${source}.subtitles.${at}.url`, url })),
    ];
    return places.flatMap(({ path, url }) => {
      const checked = checkUrl(url, policy);
      if (checked.ok) return [];
      const { origin } = new URL(url);
      const advice = checked.error.reason.startsWith("port ")
        ? "add it to EXTRA_PORTS of functions, runner and proxy"
        : `use a public URL, or start \`deno task dev --allow-origin ${origin}\``;
      const reason = `${origin} would be refused when it is played or archived (${checked.error.reason}): ${advice}`;
      return [{ source, reasons: [`${path}: ${reason}`] }];
    });
  });
}

function refused(reason: string): CheckedCatalogue {
  return { ok: false, error: [{ index: 0, source: null, reasons: [reason] }] };
}
