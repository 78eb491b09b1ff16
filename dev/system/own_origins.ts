// The operator's own servers that a development system may fetch from: --allow-origin, and DEV_ALLOWED_ORIGINS of the shell and of .env.
import { parseEnv } from "node:util";
import { parseAllowedOrigins } from "../../core/allowed_origins.ts";
import { CommandError } from "../../cli/command_line.ts";

const ENV_FILE = new URL("../../.env", import.meta.url);

/** @throws {CommandError} for an invalid origin. */
export async function ownAllowedOrigins(
  options: readonly string[],
  env: Readonly<Record<string, string>>,
  envFile: URL | string = ENV_FILE,
): Promise<readonly string[]> {
  const text = await Deno.readTextFile(envFile).catch(() => ""); // the file is optional
  const lists = [
    ["--allow-origin", options.join(",")],
    ["DEV_ALLOWED_ORIGINS", env.DEV_ALLOWED_ORIGINS ?? parseEnv(text).DEV_ALLOWED_ORIGINS ?? ""],
  ] as const;
  const origins = lists.flatMap(([name, list]) => {
    const parsed = parseAllowedOrigins(list);
    if (!parsed.ok) throw new CommandError(`${name}: ${parsed.error}`);
    return parsed.value;
  });
  return [...new Set(origins)];
}
