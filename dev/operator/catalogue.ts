// `deno task catalogue import FILE [--dry-run]`: a JSON or CSV catalogue, checked line by line, then written.
import { parseCatalogueText } from "../../sources/catalogue_text.ts";
import { findOperatorApi, OperatorError, runCommand } from "./operator_api.ts";

if (import.meta.main) await runCommand(() => catalogueCommand(Deno.args, Deno.env.toObject()));

export async function catalogueCommand(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<number> {
  const dryRun = args.includes("--dry-run");
  const [verb, file] = args.filter((arg) => !arg.startsWith("--"));
  if (verb !== "import" || file === undefined) {
    throw new OperatorError("usage: deno task catalogue import FILE.json|FILE.csv [--dry-run]");
  }
  const text = await Deno.readTextFile(file);
  const format = file.toLowerCase().endsWith(".csv") ? "csv" : "json";
  const parsed = parseCatalogueText(text, format);
  if (!parsed.ok) {
    for (const { line, reasons } of parsed.problems) {
      for (const reason of reasons) console.error(`${file}:${line}: ${reason}`);
    }
    console.error(`${parsed.problems.length} entries cannot be used; nothing was written`);
    return 1;
  }
  const api = await findOperatorApi(env);
  const type = format === "csv" ? "text/csv" : "application/json";
  const { status, body } = await api.call("POST", `/catalogue${dryRun ? "?dry_run=1" : ""}`, { text, type });
  if (status !== 200) throw new OperatorError(`not written: ${body.detail ?? status}`);
  const report: Readonly<Record<string, unknown>> = { ...Object(body.report) };
  const { added, changed, unchanged } = report;
  console.log(`${dryRun ? "would write" : "wrote"}: ${added} new, ${changed} changed, ${unchanged} as they were`);
  return 0;
}
