// Tries a provider's entry with one episode and reports what was found, what was not, and why.
// Example: await checkProvider({ entry, malId: 55825, episode: 1, page: "/anime/x/" }, tools) → [{ step: "list", … }].
// Runs on: Deno, edge runtime.
import { collectSources, type CollectTools } from "./collect.ts";
import { createPageClient } from "./fetch/page_client.ts";
import { checkProviderList, commonConfigOf } from "./providers/entry.ts";
import type { CatalogueEntry } from "./recipes/recipe.ts";
import { findRecipe } from "./recipes/recipes.ts";
import { type SourceCode, SourceError, toSourceError } from "./source_error.ts";
import type { Resolved } from "./resolvers/index.ts";
import type { SourceServer } from "./source_list.ts";

export interface ProviderCheckStep {
  readonly step: "entry" | "rights" | "page" | "list" | "server" | "media";
  readonly outcome: "good" | "warning" | "bad";
  readonly detail: string;
}

export interface ProviderToCheck {
  /** An entry of the provider list, unchecked. */
  readonly entry: unknown;
  readonly malId: number;
  readonly episode: number;
  readonly page: string | null;
  /** The catalogue's row of the episode; without `rights` it is a URL from the command line. */
  readonly catalogue: CatalogueEntry & { readonly rights?: string | null } | null;
}

/** What to do about each code. */
const ADVICE: Readonly<Record<SourceCode, string>> = {
  no_mapping: "map the title to its page, or set TITLE_API_URL so that it is searched for",
  empty: "the page lists nothing for this episode: check the page, the episode, and the entry's selectors",
  parse: "the page does not have the structure this recipe reads: use another recipe, or other selectors in config",
  blocked:
    "the site requires a browser: ask its owner for access, or set config.user_agent; only the runner solves MEGA's proof of work",
  robots: "the site's robots.txt excludes this; config.robots = \"ignore\" is the operator's decision",
  http_4xx: "the site does not have this URL (any more)",
  http_5xx: "the site is failing, try again later",
  timeout: "the site did not respond in time; config.budget_ms allows more",
  busy: "its pages waited too long for the limit per host; config.requests_per_host allows more at a time",
  network: "the site is unreachable from here",
  too_large: "the page is larger, or nests deeper, than such pages are: it is probably the wrong one",
  invalid_input: "the page contains an invalid URL, or one with a missing part",
  cancelled: "the check took more than a minute in all",
  policy_denied: "a URL is private, or not on config.hosts",
  not_permitted: "the publisher does not permit copies",
  unsupported: "no resolver recognises the player's page",
  subscription: "the player is for subscribers",
  gone: "the file was removed",
  quota: "the host's quota is used up for now",
};

const NO_ROW = "the catalogue has no such episode: import it (deno task catalogue), or try a URL with --media";

/** Never throws: a failure is a step of the report. */
export async function checkProvider(
  check: ProviderToCheck,
  tools: CollectTools,
): Promise<readonly ProviderCheckStep[]> {
  const steps: ProviderCheckStep[] = [];
  const add = (step: ProviderCheckStep["step"], outcome: ProviderCheckStep["outcome"], detail: string) =>
    void steps.push({ step, outcome, detail });

  const checked = checkProviderList([check.entry]);
  if (!checked.ok) {
    for (const reason of checked.error.flatMap(({ reasons }) => reasons)) add("entry", "bad", reason);
    return steps;
  }
  const entry = checked.value[0]!;
  add("entry", "good", `${entry.name} reads ${entry.base_url ?? "the catalogue"} by the recipe ${entry.recipe}`);
  // A catalogue declares rights in the row of the episode, not in the entry.
  const isCatalogue = entry.recipe === "catalogue";
  const rights = isCatalogue ? check.catalogue?.rights : entry.rights ?? null;
  if (rights) add("rights", "good", `archiving rights: ${rights}`);
  else if (rights === null) add("rights", "warning", "no rights are stated: servers are streamed, nothing is archived");
  if (!entry.enabled) add("entry", "warning", "the entry is switched off (enabled: false)");

  const provider = { name: entry.name, recipe: entry.recipe, base_url: entry.base_url ?? null, config: entry.config };
  const { malId, episode, page, catalogue } = check;
  if (findRecipe(entry.recipe)?.needs.page) {
    add(
      "page",
      page === null ? "warning" : "good",
      page === null ? "not mapped: it is searched for by name" : `mapped to ${page}`,
    );
  }
  const outcomes = new Map<string, Resolved | SourceError>();
  const list = await collectSources({ malId, episode, provider, page, catalogue }, {
    ...tools,
    onServer: (embedUrl, outcome) => void outcomes.set(embedUrl, outcome),
  });
  if (list.state !== "ok") {
    const code = list.code ?? "parse";
    add("list", "bad", isCatalogue && code === "no_mapping" ? `${code} – ${NO_ROW}` : explain(code));
    return steps;
  }
  add("list", "good", `${list.servers.length} servers for episode ${episode}`);
  for (const { label, code } of list.failures) add("list", "warning", `${label}: ${explain(code)}`);
  for (const server of list.servers) {
    add("server", server.video_url === null ? "bad" : "good", describeServer(server, outcomes.get(server.embed_url)));
    if (server.video_url !== null && server.kind !== "mega") steps.push(await checkMedia(server, tools));
  }
  const budget = commonConfigOf(entry.config).budget_ms;
  if (budget !== undefined) add("entry", "good", `responses wait for it up to ${budget} ms`);
  return steps;
}

/** Whether a response with this report would play something. */
export function plays(steps: readonly ProviderCheckStep[]): boolean {
  return steps.some(({ step, outcome }) => step === "media" && outcome !== "bad");
}

/** With the shape that found the media, or what the page has in its place. */
function describeServer(server: SourceServer, outcome: Resolved | SourceError | undefined): string {
  const name = [server.label, server.resolution].filter(Boolean).join(", ");
  if (server.video_url === null) {
    const code = explain(server.code ?? "unsupported");
    const isReport = outcome instanceof SourceError && outcome.message.includes("no known player");
    return `${name}: ${isReport ? `${code}: ${outcome.message}` : code}`;
  }
  const until = server.expires_at === null ? "" : `, valid until ${server.expires_at}`;
  const { quality, shape } = outcome instanceof SourceError ? {} : outcome ?? {};
  const found = [quality, shape].filter(Boolean).join(", ");
  return `${name}: ${server.kind} at ${new URL(server.video_url).host}${until}${found && ` (${found})`}`;
}

/** Requests the first bytes of the media, like a player. */
async function checkMedia(server: SourceServer, tools: CollectTools): Promise<ProviderCheckStep> {
  const pages = createPageClient(tools);
  const url = server.video_url!;
  try {
    if (server.kind === "hls" || server.kind === "dash") {
      const { text } = await pages.read(url, { headers: server.headers, maxBytes: 2_000_000 });
      const [isValid, what] = server.kind === "hls"
        ? [text.trimStart().startsWith("#EXTM3U"), "a playlist"]
        : [/<(?:\w+:)?MPD\b/.test(text), "a DASH manifest"];
      const detail = `${server.label}: ${isValid ? what : `not ${what}, despite its name`}`;
      return { step: "media", outcome: isValid ? "good" : "bad", detail };
    }
    const { status, headers } = await pages.head(url, {
      method: "GET",
      headers: { ...server.headers, range: "bytes=0-1" },
    });
    const type = headers.get("content-type") ?? "no type";
    if (type.startsWith("text/html")) {
      return { step: "media", outcome: "bad", detail: `${server.label}: a web page instead of media` };
    }
    const seekable = status === 206;
    return {
      step: "media",
      outcome: seekable ? "good" : "warning",
      detail: `${server.label}: ${type}${seekable ? "" : ", but the host ignores Range: no seeking"}`,
    };
  } catch (thrown) {
    return {
      step: "media",
      outcome: "bad",
      detail: `${server.label}: ${explain(toSourceError(thrown, tools.signal).reason)}`,
    };
  }
}

function explain(code: string): string {
  return code in ADVICE ? `${code} – ${ADVICE[code as SourceCode]}` : code;
}
