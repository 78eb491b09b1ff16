// Runs one of the operator's programs with the environment of the `deno task dev` of this machine, unless the environment names a
// project itself. Example: `deno run -A dev/operator/with_dev_env.ts runner/storage/main.ts health`. Runs on: Deno.
import { findRunningDev } from "./running_dev.ts";

const own = Deno.env.toObject();
const running = own.SUPABASE_URL === undefined ? await findRunningDev(own) : null;
const program = new Deno.Command(Deno.execPath(), {
  args: ["run", "--quiet", "-A", ...Deno.args],
  env: { ...running?.env, ...own },
}).spawn();
Deno.exit((await program.status).code);
