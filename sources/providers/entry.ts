// The operator's provider list: the schema of an entry, and the reasons why an entry is refused.
// Example: { "name": "animasu", "recipe": "select-base64", "base_url": "https://site.example", "rights": "…" }.
// Runs on: Deno, edge runtime.
import { z } from "zod";
import { parseHttpUrl } from "../../core/http_url.ts";
import { declaredRights } from "../../core/rights.ts";
import { findRecipe, RECIPE_NAMES } from "../recipes/recipes.ts";
import { RESOLVER_NAMES } from "../resolvers/index.ts";

const host = z.string().regex(/^\.?[a-z0-9][a-z0-9.-]*(:\d+)?$/, "must be a host name such as player.example");

/** Keys of `config` that every recipe understands; a recipe adds its own. */
const commonConfig = z.looseObject({
  user_agent: z.string().min(1).max(300).optional(),
  /** Sent to the origin of `base_url` and nowhere else. */
  headers: z.record(z.string().regex(/^[a-z0-9-]+$/, "header names are lower case"), z.string().max(1000)).optional(),
  robots: z.enum(["respect", "ignore"]).optional(),
  requests_per_host: z.number().int().min(1).max(16).optional(),
  budget_ms: z.number().int().min(100).max(60_000).optional(),
  /** Only servers on these hosts are used: `player.example` exactly, `.example` for all below it. */
  hosts: z.array(host).optional(),
  /** The resolver of a host whose pages would match another one. */
  resolvers: z.record(host, z.enum(RESOLVER_NAMES)).optional(),
});

export type CommonConfig = z.infer<typeof commonConfig>;

const QUALITIES = "must be label, all, or 1 to 16 heights such as 720,360";

/** Which heights of a source are archived. Heights may be written as `720p`, or as a list of numbers. */
const qualities = z.union([z.string(), z.array(z.number())], QUALITIES)
  .transform((given, context) => {
    const text = Array.isArray(given) ? given.join() : given.trim();
    if (text === "label" || text === "all") return text;
    const heights = text.split(",").map((height) => /^\s*([1-9]\d{1,3})p?\s*$/i.exec(height)?.[1]);
    const isList = heights.length <= 16 && heights.every((height) => height !== undefined);
    if (isList) return [...new Set(heights.map(Number))].sort((a, b) => b - a).join();
    context.addIssue(QUALITIES);
    return z.NEVER;
  });

/** The common part of a stored entry; an invalid stored value counts as absent. */
export function commonConfigOf(config: Readonly<Record<string, unknown>>): CommonConfig {
  return commonConfig.safeParse(config).data ?? {};
}

export const providerEntrySchema = z.strictObject({
  name: z.string().regex(/^[a-z0-9][a-z0-9_-]{0,19}$/, "1 to 20 of a-z 0-9 _ -, starting with a letter or digit"),
  recipe: z.string(),
  base_url: z.url({ protocol: /^https?$/, abort: true })
    .refine((text) => parseHttpUrl(text) !== null, "must not hold user information or control characters").nullish(),
  /** Archiving rights ("own work", "CC BY 4.0", a contract's name); without it nothing is archived. */
  rights: z.string().max(500).nullish().transform(declaredRights),
  /** `label`, `all`, or heights such as `720,360`. null: as `keepstream.settings` says. */
  qualities: qualities.nullish().transform((text) => text ?? null),
  config: z.record(z.string(), z.unknown()).default({}),
  enabled: z.boolean().default(true),
  position: z.number().int().min(0).max(10_000).optional(),
}).superRefine((entry, context) => {
  const recipe = findRecipe(entry.recipe);
  if (recipe === null) {
    context.addIssue({ code: "custom", path: ["recipe"], message: `must be one of ${RECIPE_NAMES.join(", ")}` });
    return;
  }
  if (recipe.needs.baseUrl && !entry.base_url) {
    context.addIssue({
      code: "custom",
      path: ["base_url"],
      message: `the recipe ${recipe.name} requires the site's URL`,
    });
  }
  if (entry.config.headers !== undefined && !entry.base_url) {
    context.addIssue({
      code: "custom",
      path: ["config", "headers"],
      message: "are sent to base_url only: set base_url",
    });
  }
  for (const schema of [commonConfig, recipe.config]) {
    const checked = schema.safeParse(entry.config);
    for (const issue of checked.error?.issues ?? []) {
      context.addIssue({ code: "custom", path: ["config", ...issue.path], message: issue.message });
    }
  }
});

type ParsedEntry = z.infer<typeof providerEntrySchema>;
export type ProviderListEntry = Omit<ParsedEntry, "qualities"> & Partial<Pick<ParsedEntry, "qualities">>;

/** Why an entry of a list is invalid: its index, and one reason per field. */
export interface EntryProblem {
  readonly index: number;
  readonly name: string | null;
  readonly reasons: readonly string[];
}

export type CheckedProviders =
  | { readonly ok: true; readonly value: readonly ProviderListEntry[] }
  | { readonly ok: false; readonly error: readonly EntryProblem[] };

/** Checks a whole list and reports every invalid entry. */
export function checkProviderList(list: unknown): CheckedProviders {
  if (!Array.isArray(list)) {
    return { ok: false, error: [{ index: 0, name: null, reasons: ["the list must be a JSON array of entries"] }] };
  }
  const values: ProviderListEntry[] = [];
  const problems: EntryProblem[] = [];
  const seen = new Set<string>();
  for (const [index, item] of list.entries()) {
    const parsed = providerEntrySchema.safeParse(item);
    const reasons = parsed.success ? [] : parsed.error.issues.map(describe);
    const name = nameOf(item);
    if (name !== null && seen.has(name)) reasons.push(`name: ${name} is listed twice`);
    if (name !== null) seen.add(name);
    if (parsed.success && reasons.length === 0) {
      values.push({ ...parsed.data, position: parsed.data.position ?? index });
    } else problems.push({ index, name, reasons });
  }
  return problems.length === 0 ? { ok: true, value: values } : { ok: false, error: problems };
}

function nameOf(item: unknown): string | null {
  const name = typeof item === "object" && item !== null && "name" in item ? item.name : null;
  return typeof name === "string" ? name : null;
}

function describe(issue: z.core.$ZodIssue): string {
  return issue.path.length === 0 ? issue.message : `${issue.path.join(".")}: ${issue.message}`;
}
