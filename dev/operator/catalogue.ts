// `deno task catalogue import FILE [--dry-run]`: a JSON or CSV catalogue of any length, checked line by line as a whole, then
// written in pieces, each all or nothing. Run again after a failure: what is there already counts as unchanged.
import type { CatalogueListEntry } from "../../sources/catalogue_entry.ts";
import { parseCatalogueText } from "../../sources/catalogue_text.ts";
import { print, printError, terminalText } from "../print.ts";
import { findOperatorApi, type OperatorApi, OperatorError, parseOptions, runCommand } from "./operator_api.ts";

const USAGE = "usage: deno task catalogue import FILE.json|FILE.csv [--dry-run]";
const PIECE_ENTRIES = 2_000;
const PIECE_CHARACTERS = 2_000_000;
const MAX_PROBLEMS = 100;

if (import.meta.main) await runCommand(() => catalogueCommand(Deno.args, Deno.env.toObject()));

export async function catalogueCommand(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<number> {
  const { values, positionals } = parseOptions(args, { "dry-run": { type: "boolean" } }, USAGE);
  const dryRun = values["dry-run"] ?? false;
  const [verb, file] = positionals;
  if (verb !== "import" || file === undefined) throw new OperatorError(USAGE);
  const text = await Deno.readTextFile(file);
  const format = file.toLowerCase().endsWith(".csv") ? "csv" : "json";
  const parsed = parseCatalogueText(text, format, { maxEntries: Infinity });
  if (!parsed.ok) {
    const lines = parsed.problems.flatMap(({ line, reasons }) => reasons.map((reason) => `${file}:${line}: ${reason}`));
    for (const line of lines.slice(0, MAX_PROBLEMS)) printError(terminalText(line));
    if (lines.length > MAX_PROBLEMS) console.error(`… and ${lines.length - MAX_PROBLEMS} more`);
    console.error(`${parsed.problems.length} entries cannot be used; nothing was written`);
    return 1;
  }
  const { added, changed, unchanged } = await send(parsed.entries, { api: await findOperatorApi(env), dryRun });
  print(`${dryRun ? "would write" : "wrote"}: ${added} new, ${changed} changed, ${unchanged} as they were`);
  return 0;
}

async function send(entries: readonly CatalogueListEntry[], { api, dryRun }: { api: OperatorApi; dryRun: boolean }) {
  const total = { added: 0, changed: 0, unchanged: 0 };
  let sent = 0;
  for (const { count, text } of pieces(entries)) {
    const path = `/catalogue${dryRun ? "?dry_run=1" : ""}`;
    const { status, body } = await api.call("POST", path, { text, type: "application/json" });
    if (status !== 200) {
      const before = dryRun || sent === 0 ? "" : `; the ${sent} entries before are written`;
      throw new OperatorError(`not written: ${body.detail ?? status}${before}`);
    }
    const report: Readonly<Record<string, unknown>> = { ...Object(body.report) };
    for (const name of ["added", "changed", "unchanged"] as const) total[name] += Number(report[name]);
    sent += count;
    if (count < entries.length) console.error(`${sent} of ${entries.length}`);
  }
  return total;
}

/** As much at a time as the operator function takes. */
function* pieces(entries: readonly CatalogueListEntry[]): Generator<{ readonly count: number; readonly text: string }> {
  let texts: string[] = [];
  let characters = 0;
  for (const entry of entries) {
    const text = JSON.stringify(entry);
    if (texts.length === PIECE_ENTRIES || (texts.length > 0 && characters + text.length > PIECE_CHARACTERS)) {
      yield { count: texts.length, text: `[${texts.join(",")}]` };
      texts = [];
      characters = 0;
    }
    texts.push(text);
    characters += text.length;
  }
  yield { count: texts.length, text: `[${texts.join(",")}]` };
}
