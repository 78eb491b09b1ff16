// `deno task ks <command> [arguments]`: the operator's command line. Example: deno task ks videos --status failed
import { runCommand } from "./command_line.ts";
import { ks } from "./ks.ts";

await runCommand(() => ks(Deno.args, Deno.env.toObject()));
