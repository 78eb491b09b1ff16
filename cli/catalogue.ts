// `deno task ks catalogue import FILE [--dry-run]`: checks a JSON or CSV catalogue as a whole, then writes it in chunks, each in one
// transaction. After a failure, run it again: entries that were already written count as unchanged.
import type { CatalogueListEntry } from "../sources/catalogue/entry.ts";
import { parseCatalogueText } from "../sources/catalogue/text.ts";
import { CommandError, EXIT_CODES, parseCommandLine, readInputFile } from "./command_line.ts";
import { CHANGE_FLAGS, CHANGE_HELP, SYSTEM_FLAGS, SYSTEM_HELP } from "./flags.ts";
import { findOperatorApi, type OperatorApi } from "./operator_api.ts";
import { print, printError, printJson, terminalText } from "./print.ts";
import { confirmChange } from "./system.ts";

const USAGE = `usage: deno task ks catalogue import FILE.json|FILE.csv [--dry-run] [--json] [--yes] [--env-file FILE]

  --dry-run          check the file and report what would change
  --json             the report as JSON
${CHANGE_HELP}
${SYSTEM_HELP}

${EXIT_CODES}`;
const CHUNK_ENTRIES = 2_000;
const CHUNK_CHARACTERS = 2_000_000;
const MAX_PROBLEMS = 100;

export async function catalogueCommand(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<number> {
  const { values, positionals } = parseCommandLine(args, {
    usage: USAGE,
    options: { "dry-run": { type: "boolean" }, json: { type: "boolean" }, ...CHANGE_FLAGS, ...SYSTEM_FLAGS },
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
    const lines = parsed.issues.flatMap(({ line, reasons }) => reasons.map((reason) => `${file}:${line}: ${reason}`));
    for (const line of lines.slice(0, MAX_PROBLEMS)) printError(terminalText(line));
    if (lines.length > MAX_PROBLEMS) console.error(`… and ${lines.length - MAX_PROBLEMS} more`);
    console.error(`${parsed.issues.length} entries are invalid; nothing was written`);
    return 1;
  }
  if (!dryRun) confirmChange(api.system, { what: `write ${parsed.entries.length} entries`, yes: values.yes });
  const report = await send(parsed.entries, { api, dryRun });
  if (values.json) printJson({ ...report, dry_run: dryRun });
  else {
    const { added, changed, unchanged } = report;
    print(`${dryRun ? "would write" : "wrote"}: ${added} new, ${changed} changed, ${unchanged} unchanged`);
  }
  return 0;
}

async function send(entries: readonly CatalogueListEntry[], { api, dryRun }: { api: OperatorApi; dryRun: boolean }) {
  const total = { added: 0, changed: 0, unchanged: 0 };
  let sent = 0;
  for (const { count, text } of chunks(entries)) {
    const path = `/catalogue${dryRun ? "?dry_run=1" : ""}`;
    const { status, body } = await api.call("POST", path, { text, type: "application/json" });
    if (status !== 200) {
      const written = dryRun || sent === 0 ? "" : `; the first ${sent} entries were written`;
      throw new CommandError(`not written: ${body.detail ?? status}${written}`);
    }
    const report: Readonly<Record<string, unknown>> = { ...Object(body.report) };
    for (const name of ["added", "changed", "unchanged"] as const) total[name] += Number(report[name]);
    sent += count;
    if (count < entries.length) console.error(`${sent} of ${entries.length}`);
  }
  return total;
}

/** No larger than the operator API accepts. */
function* chunks(entries: readonly CatalogueListEntry[]): Generator<{ readonly count: number; readonly text: string }> {
  let texts: string[] = [];
  let characters = 0;
  for (const entry of entries) {
    const text = JSON.stringify(entry);
    if (texts.length === CHUNK_ENTRIES || (texts.length > 0 && characters + text.length > CHUNK_CHARACTERS)) {
      yield { count: texts.length, text: `[${texts.join(",")}]` };
      texts = [];
      characters = 0;
    }
    texts.push(text);
    characters += text.length;
  }
  yield { count: texts.length, text: `[${texts.join(",")}]` };
}
