// A provider list as JSON text → checked entries, or what is wrong on which line.
// Example: parseProviderText('[{"name":"catalogue","recipe":"catalogue"}]'). Runs on: Deno, edge runtime.
import { entryLines, syntaxIssue, withoutByteOrderMark } from "../catalogue/entry_lines.ts";
import { checkProviderList, type ProviderListEntry } from "./entry.ts";

export interface ProviderLineIssue {
  readonly line: number;
  readonly name: string | null;
  readonly reasons: readonly string[];
}

export type ParsedProviders =
  | { readonly ok: true; readonly entries: readonly ProviderListEntry[] }
  | { readonly ok: false; readonly issues: readonly ProviderLineIssue[] };

export function parseProviderText(file: string): ParsedProviders {
  const text = withoutByteOrderMark(file);
  let list: unknown;
  try {
    list = JSON.parse(text);
  } catch (error) {
    return { ok: false, issues: [{ ...syntaxIssue(text, error), name: null }] };
  }
  const checked = checkProviderList(list);
  if (checked.ok) return { ok: true, entries: checked.value };
  const lines = entryLines(text);
  const issues = checked.error.map(({ index, ...rest }) => ({ line: lines[index] ?? 1, ...rest }));
  return { ok: false, issues };
}
