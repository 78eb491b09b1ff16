/** `deno task functions:lock`: writes each function's deno.lock with the Deno of Supabase's edge runtime, since newer versions do not write lock version 4. */
import { commandLine } from "../cli/command_line.ts";
import { edgeDeno } from "./testing/edge_deno.ts";

commandLine({ usage: "usage: deno task functions:lock" });

const ROOT = new URL("..", import.meta.url).pathname;

for (const name of ["streaming", "archive"]) {
  const dir = `${ROOT}functions/${name}`;
  await Deno.remove(`${dir}/deno.lock`).catch(() => {});
  const { success } = await new Deno.Command(await edgeDeno(), {
    args: ["cache", "--quiet", "--config", `${dir}/deno.json`, `${dir}/index.ts`],
  }).spawn().status;
  if (!success) Deno.exit(1);
  console.log(`wrote functions/${name}/deno.lock`);
}
