// `deno task ks providers apply FILE [--dry-run]`: checks the list, shows the difference, applies it.
// `deno task ks providers list`: prints the list in the format that apply reads.
import { parseProviderText } from "../sources/providers/text.ts";
import { print, printError, printJson, terminalText } from "./print.ts";
import { providerDifference } from "./provider_difference.ts";
import { CommandError, EXIT_CODES, parseCommandLine, readInputFile } from "./command_line.ts";
import { CHANGE_FLAGS, SYSTEM_FLAGS, SYSTEM_HELP } from "./flags.ts";
import { findOperatorApi, type OperatorApi } from "./operator_api.ts";
import { confirmChange } from "./system.ts";

const USAGE = `usage:
  deno task ks providers apply FILE [--dry-run] [--json] [--yes]   check the list, show the difference, apply it
  deno task ks providers list                                      print the list as JSON, in the format that apply reads

  --dry-run          only show the difference
  --json             the difference as JSON
  --yes              do not ask before changing a system that is not on this machine, or emptying the list
${SYSTEM_HELP}

${EXIT_CODES}`;

export async function providersCommand(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<number> {
  const { values, positionals } = parseCommandLine(args, {
    usage: USAGE,
    options: { "dry-run": { type: "boolean" }, json: { type: "boolean" }, ...CHANGE_FLAGS, ...SYSTEM_FLAGS },
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
    for (const { line, name, reasons } of parsed.issues) {
      for (const reason of reasons) printError(terminalText(`${file}:${line}: ${name ?? "entry"}: ${reason}`));
    }
    return 1;
  }
  const api = await findOperatorApi(env, values["env-file"]);
  const present = await presentList(api);
  const lines = providerDifference(present, parsed.entries);
  const isApplied = lines.length > 0 && !values["dry-run"];
  if (!values.json) {
    print(lines.length === 0 ? `${api.url} already has this list` : lines.map(terminalText).join("\n"));
  } else if (!isApplied) printJson({ changes: lines, applied: false });
  if (!isApplied) return 0;
  const empties = parsed.entries.length === 0;
  confirmChange(api.system, {
    what: empties ? `remove every provider (${present.length})` : `apply ${lines.length} changes`,
    yes: values.yes,
    always: empties,
  });
  const response = await api.call("POST", "/providers", { text, type: "application/json" });
  if (response.status !== 200) throw new CommandError(`not applied: ${response.body.detail ?? response.status}`);
  if (values.json) printJson({ changes: lines, applied: true });
  else print(`applied to ${api.url}`);
  return 0;
}

async function presentList(api: OperatorApi): Promise<readonly Readonly<Record<string, unknown>>[]> {
  const { status, body } = await api.call("GET", "/providers");
  if (status !== 200 || !Array.isArray(body.providers)) {
    throw new CommandError(`the list cannot be read: ${body.detail ?? status}`);
  }
  return body.providers;
}
