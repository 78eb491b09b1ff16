/** `deno task tools:latest`: runs the documented commands with the newest Supabase CLI and wrangler. Not part of CI. */
import { commandLine } from "../cli/command_line.ts";

commandLine({ usage: "usage: deno task tools:latest" });

const { code } = await new Deno.Command(Deno.execPath(), {
  args: ["task", "test", "dev/testing/documented_commands_test.ts", "dev/system/supabase_cli_test.ts"],
  cwd: new URL("..", import.meta.url).pathname,
  env: { KEEPSTREAM_LATEST_TOOLS: "1" },
}).spawn().status;
Deno.exit(code);
