// `deno task providers apply FILE [--dry-run]`: checks the list, shows the difference, applies it.
// `deno task providers list`: the list as it is, in the form that apply reads.
import { parseProviderText } from "../sources/providers/text.ts";
import { print, printError, printJson, terminalText } from "./print.ts";
import { providerDifference } from "./provider_difference.ts";
import { CommandError, parseCommandLine, readInputFile, runCommand } from "./command_line.ts";
import { findOperatorApi, type OperatorApi } from "./operator_api.ts";
import { confirmChange } from "./target.ts";

const USAGE = `usage:
  deno task providers apply FILE [--dry-run] [--yes] [--env-file FILE]   check the list, show the difference, apply it
  deno task providers list [--env-file FILE]                             the list as it is, in the form that apply reads

  --dry-run          show the difference alone
  --yes              do not ask before a system that is not on this machine is changed, or the list is emptied
  --env-file FILE    SUPABASE_URL and SUPABASE_SECRET_KEYS of the system`;

if (import.meta.main) await runCommand(() => providersCommand(Deno.args, Deno.env.toObject()));

export async function providersCommand(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<number> {
  const { values, positionals } = parseCommandLine(args, {
    usage: USAGE,
    options: { "dry-run": { type: "boolean" }, yes: { type: "boolean" }, "env-file": { type: "string" } },
    positionals: 2,
  });
  const [verb, file] = positionals;
  if (verb === "list" && file === undefined) {
    printJson(await presentList(await findOperatorApi(env, values["env-file"])));
    return 0;
  }
  if (verb !== "apply" || file === undefined) throw new CommandError(USAGE);
  const text = await readInputFile(file);
  const parsed = parseProviderText(text);
  if (!parsed.ok) {
    for (const { line, name, reasons } of parsed.problems) {
      for (const reason of reasons) printError(terminalText(`${file}:${line}: ${name ?? "entry"}: ${reason}`));
    }
    return 1;
  }
  const api = await findOperatorApi(env, values["env-file"]);
  const present = await presentList(api);
  const lines = providerDifference(present, parsed.entries);
  print(lines.length === 0 ? `${api.address} has this list already` : lines.map(terminalText).join("\n"));
  if (values["dry-run"] || lines.length === 0) return 0;
  const empties = parsed.entries.length === 0;
  confirmChange(api.target, {
    what: empties ? `remove every provider (${present.length})` : `apply ${lines.length} changes`,
    yes: values.yes,
    always: empties,
  });
  const answer = await api.call("POST", "/providers", { text, type: "application/json" });
  if (answer.status !== 200) throw new CommandError(`not applied: ${answer.body.detail ?? answer.status}`);
  print(`applied to ${api.address}`);
  return 0;
}

async function presentList(api: OperatorApi): Promise<readonly Readonly<Record<string, unknown>>[]> {
  const { status, body } = await api.call("GET", "/providers");
  if (status !== 200 || !Array.isArray(body.providers)) {
    throw new CommandError(`the list cannot be read: ${body.detail ?? status}`);
  }
  return body.providers;
}
