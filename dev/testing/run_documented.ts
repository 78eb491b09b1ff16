/** Runs documented commands, with replacements for what is not on this machine. Example: `await run("npx … link --project-ref <ref>", { instead })`. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { filledEnvText } from "../../cli/filled_env.ts";
import { SUPABASE_CLI, WRANGLER } from "./tool_versions.ts";

const ROOT = new URL("../..", import.meta.url).pathname;

interface RunOptions {
  /** @default the checkout */
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Parts of the command to replace, because they name something that is not on this machine. */
  readonly instead?: Readonly<Record<string, string>>;
  /** @default 0 */
  readonly code?: number;
}

/** Commands run so far, which a test compares with the documents. */
export const ran = new Set<string>();

export async function run(
  command: string,
  { cwd = ROOT, env = {}, instead = {}, code = 0 }: RunOptions = {},
): Promise<string> {
  ran.add(command);
  let text = command;
  for (const [part, other] of Object.entries({ ...NEWEST, ...instead })) {
    if (!(part in NEWEST)) assert.ok(text.includes(part), `${command} has no ${part}`);
    text = text.replaceAll(part, other);
  }
  const { code: ended, stdout, stderr } = await new Deno.Command("/bin/sh", {
    args: ["-c", text],
    cwd,
    env: { NO_COLOR: "1", npm_config_loglevel: "error", ...env },
    stdin: "null",
  }).output();
  const decoder = new TextDecoder();
  const output = decoder.decode(stdout) + decoder.decode(stderr);
  assert.equal(ended, code, `${text}\n${output}`);
  return output;
}

/** Only set by `deno task tools:latest`. */
const NEWEST: Readonly<Record<string, string>> = Deno.env.get("KEEPSTREAM_LATEST_TOOLS") === "1"
  ? { "supabase@3.1.0": SUPABASE_CLI, "wrangler@4.156.0": WRANGLER }
  : {};

/** A folder with the tracked files of the checkout, and `.env` filled in. */
export async function copyCheckout(...folders: string[]) {
  const dir = await Deno.makeTempDir({ prefix: "keepstream-documents-" });
  const { stdout } = await new Deno.Command("git", { args: ["ls-files", "-z", ...folders], cwd: ROOT }).output();
  for (const file of new TextDecoder().decode(stdout).split("\0").filter((name) => name !== "")) {
    await Deno.mkdir(join(dir, file, ".."), { recursive: true });
    await Deno.copyFile(join(ROOT, file), join(dir, file));
  }
  return { dir, [Symbol.asyncDispose]: () => Deno.remove(dir, { recursive: true }) };
}

/** Writes the files of `deno task env` for FILLED_ENV, or more. */
export async function writeParts(dir: string, more = ""): Promise<void> {
  await Deno.writeTextFile(join(dir, ".env"), filledEnvText() + more);
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", `${ROOT}cli/main.ts`, "env", "--from", `${dir}/.env`, "--out", `${dir}/.keepstream/env`],
  }).output();
  assert.ok(success, new TextDecoder().decode(stderr));
}
