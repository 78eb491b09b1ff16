// `deno task providers apply FILE [--dry-run]`: checks the list, shows the difference, applies it.
// `deno task providers list`: the list as it is, in the form that apply reads.
import { parseProviderText } from "../../sources/provider_text.ts";
import { print, printError, printJson, terminalText } from "../print.ts";
import { providerDifference } from "./provider_difference.ts";
import { findOperatorApi, type OperatorApi, OperatorError, parseOptions, runCommand } from "./operator_api.ts";

const USAGE = "usage: deno task providers apply FILE [--dry-run] | deno task providers list";

if (import.meta.main) await runCommand(() => providersCommand(Deno.args, Deno.env.toObject()));

export async function providersCommand(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<number> {
  const { values, positionals } = parseOptions(args, { "dry-run": { type: "boolean" } }, USAGE);
  const [verb, file] = positionals;
  if (verb === "list") {
    printJson(await presentList(await findOperatorApi(env)));
    return 0;
  }
  if (verb !== "apply" || file === undefined) throw new OperatorError(USAGE);
  const text = await Deno.readTextFile(file);
  const parsed = parseProviderText(text);
  if (!parsed.ok) {
    for (const { line, name, reasons } of parsed.problems) {
      for (const reason of reasons) printError(terminalText(`${file}:${line}: ${name ?? "entry"}: ${reason}`));
    }
    return 1;
  }
  const api = await findOperatorApi(env);
  const lines = providerDifference(await presentList(api), parsed.entries);
  print(lines.length === 0 ? `${api.address} has this list already` : lines.map(terminalText).join("\n"));
  if (values["dry-run"] || lines.length === 0) return 0;
  const answer = await api.call("POST", "/providers", { text, type: "application/json" });
  if (answer.status !== 200) throw new OperatorError(`not applied: ${answer.body.detail ?? answer.status}`);
  print(`applied to ${api.address}`);
  return 0;
}

async function presentList(api: OperatorApi): Promise<readonly Readonly<Record<string, unknown>>[]> {
  const { status, body } = await api.call("GET", "/providers");
  if (status !== 200 || !Array.isArray(body.providers)) {
    throw new OperatorError(`the list cannot be read: ${body.detail ?? status}`);
  }
  return body.providers;
}
