// A catalogue as JSON or CSV text → checked entries, or a reason per line.
// CSV: mal_id,episode,title,rights,url,resolution,kind,label,subtitles – rows of the same episode are its sources; the columns may be
// separated by semicolons or tabs.
// Example: "mal_id,episode,url\n55825,1,https://own.example/ep1.mp4". Runs on: Deno, edge runtime.
import { parse } from "csv-parse/sync";
import type { UrlPolicy } from "../../core/url_policy.ts";
import { type CatalogueListEntry, checkCatalogue } from "./entry.ts";
import { entryLines, syntaxIssue, withoutByteOrderMark } from "./entry_lines.ts";

export interface LineIssue {
  readonly line: number;
  readonly reasons: readonly string[];
}

export type ParsedCatalogue =
  | { readonly ok: true; readonly entries: readonly CatalogueListEntry[] }
  | { readonly ok: false; readonly issues: readonly LineIssue[] };

export interface CatalogueTextOptions {
  /** @default 5,000, the limit of the operator API */
  readonly maxEntries?: number;
  /** Entries with URLs that this policy refuses are invalid: they could neither be played nor archived. */
  readonly policy?: UrlPolicy;
}

export function parseCatalogueText(
  text: string,
  format: "json" | "csv",
  { maxEntries, policy = {} }: CatalogueTextOptions = {},
): ParsedCatalogue {
  const listed = format === "csv" ? fromCsv(text) : fromJson(withoutByteOrderMark(text));
  if ("issues" in listed) return { ok: false, issues: listed.issues };
  const checked = checkCatalogue(listed.entries, { maxEntries, policy });
  if (checked.ok) return { ok: true, entries: checked.value };
  const byLine = new Map<number, string[]>();
  for (const { index, source, reasons } of checked.error) {
    const line = listed.lines[index]?.[source ?? 0] ?? listed.lines[index]?.[0] ?? 1;
    byLine.set(line, [...byLine.get(line) ?? [], ...reasons]);
  }
  return {
    ok: false,
    issues: [...byLine].map(([line, reasons]) => ({ line, reasons })).sort((a, b) => a.line - b.line),
  };
}

/** The lines of each entry's sources; only one line per entry in JSON. */
type Listed = { readonly entries: unknown; readonly lines: readonly (readonly number[])[] } | {
  readonly issues: readonly LineIssue[];
};

function fromJson(text: string): Listed {
  try {
    const entries: unknown = JSON.parse(text);
    return { entries, lines: entryLines(text).map((line) => [line]) };
  } catch (error) {
    return { issues: [syntaxIssue(text, error)] };
  }
}

const COLUMNS = ["mal_id", "episode", "title", "rights", "url", "resolution", "kind", "label", "subtitles"];

interface CsvRow {
  readonly record: Readonly<Record<string, string>>;
  readonly info: { readonly lines: number };
}

function fromCsv(text: string): Listed {
  let rows: CsvRow[];
  try {
    rows = parse(text, {
      columns: true,
      delimiter: delimiterOf(text),
      bom: true,
      trim: true,
      skip_empty_lines: true,
      info: true,
    }) as unknown as CsvRow[];
  } catch (error) {
    const line = error instanceof Error && "lines" in error ? Number(error.lines) : 1;
    return { issues: [{ line, reasons: ["not CSV: " + messageOf(error)] }] };
  }
  const unknown = Object.keys(rows[0]?.record ?? {}).filter((column) => !COLUMNS.includes(column));
  if (unknown.length > 0) {
    return { issues: [{ line: 1, reasons: [`unknown column ${unknown.join(", ")}; known: ${COLUMNS.join(", ")}`] }] };
  }
  return groupRows(rows);
}

/** The delimiter of the header: spreadsheets write semicolons or tabs if the comma is the decimal separator. */
function delimiterOf(text: string): string {
  const header = /^[^\r\n]*/.exec(text)![0];
  return [";", "\t"].find((delimiter) => !header.includes(",") && header.includes(delimiter)) ?? ",";
}

/** Merges the rows of an episode into one entry; the first title and rights count. */
function groupRows(rows: readonly CsvRow[]): Listed {
  const groups = new Map<string, { readonly lines: number[]; readonly rows: Readonly<Record<string, string>>[] }>();
  for (const { record, info } of rows) {
    const name = `${record.mal_id}/${record.episode}`;
    const group = groups.get(name) ?? { lines: [], rows: [] };
    group.lines.push(info.lines);
    group.rows.push(record);
    groups.set(name, group);
  }
  const entries = [...groups.values()].map(({ rows }) => ({
    mal_id: numberOr(rows[0]!.mal_id),
    episode: numberOr(rows[0]!.episode),
    title: rows.find((row) => row.title)?.title ?? null,
    rights: rows.find((row) => row.rights)?.rights ?? null,
    sources: rows.map((row) => ({
      url: row.url ?? "",
      resolution: row.resolution || null,
      kind: row.kind || null,
      label: row.label || null,
      subtitles: subtitlesOf(row.subtitles ?? ""),
    })),
  }));
  return { entries, lines: [...groups.values()].map(({ lines }) => lines) };
}

/** `en=https://own.example/en.vtt id=https://…` */
function subtitlesOf(text: string) {
  return text.split(/\s+/).filter((part) => part !== "").map((part) => {
    const [, language, url] = /^([A-Za-z-]+)=(.*)$/.exec(part) ?? [];
    return { url: url ?? part, language: language ?? null };
  });
}

function numberOr(text: string | undefined): number | string {
  return text !== undefined && /^-?\d+$/.test(text) ? Number(text) : text ?? "";
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
