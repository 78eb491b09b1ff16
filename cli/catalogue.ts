// `deno task catalogue import FILE [--dry-run]`: a JSON or CSV catalogue of any length, checked line by line as a whole, then
// written in pieces, each all or nothing. Run again after a failure: what is there already counts as unchanged.
import type { CatalogueListEntry } from "../sources/catalogue/entry.ts";
import { parseCatalogueText } from "../sources/catalogue/text.ts";
import { print, printError, terminalText } from "./print.ts";
import { CommandError, parseCommandLine, readInputFile, runCommand } from "./command_line.ts";
import { findOperatorApi, type OperatorApi } from "./operator_api.ts";
import { confirmChange } from "./target.ts";

const USAGE = `usage: deno task catalogue import FILE.json|FILE.csv [--dry-run] [--yes] [--env-file FILE]

  --dry-run          check the file and say what would change
  --yes              do not ask before a system that is not on this machine is changed
  --env-file FILE    SUPABASE_URL and SUPABASE_SECRET_KEYS of the system`;
const PIECE_ENTRIES = 2_000;
const PIECE_CHARACTERS = 2_000_000;
const MAX_PROBLEMS = 100;

if (import.meta.main) await runCommand(() => catalogueCommand(Deno.args, Deno.env.toObject()));

export async function catalogueCommand(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<number> {
  const { values, positionals } = parseCommandLine(args, {
    usage: USAGE,
    options: { "dry-run": { type: "boolean" }, yes: { type: "boolean" }, "env-file": { type: "string" } },
    positionals: 2,
  });
  const dryRun = values["dry-run"] ?? false;
  const [verb, file] = positionals;
  if (verb !== "import" || file === undefined) throw new CommandError(USAGE);
  const text = await readInputFile(file);
  const format = file.toLowerCase().endsWith(".csv") ? "csv" : "json";
  const api = await findOperatorApi(env, values["env-file"]);
  const parsed = parseCatalogueText(text, format, { maxEntries: Infinity, policy: api.policy });
  if (!parsed.ok) {
    const lines = parsed.problems.flatMap(({ line, reasons }) => reasons.map((reason) => `${file}:${line}: ${reason}`));
    for (const line of lines.slice(0, MAX_PROBLEMS)) printError(terminalText(line));
    if (lines.length > MAX_PROBLEMS) console.error(`… and ${lines.length - MAX_PROBLEMS} more`);
    console.error(`${parsed.problems.length} entries cannot be used; nothing was written`);
    return 1;
  }
  if (!dryRun) confirmChange(api.target, { what: `write ${parsed.entries.length} entries`, yes: values.yes });
  const { added, changed, unchanged } = await send(parsed.entries, { api, dryRun });
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
      throw new CommandError(`not written: ${body.detail ?? status}${before}`);
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
