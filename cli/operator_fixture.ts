// Tests: the operator function behind the real gateway and database, and a directory for the files that commands read.
import { buildArchiveApp } from "../functions/archive/build.ts";
import { createFunctionRig, type FunctionRig } from "../dev/testing/function_fixture.ts";
import { serveSite } from "../dev/emulators/sites/serve.ts";

export interface OperatorRig extends AsyncDisposable {
  readonly rig: FunctionRig;
  /** Of a shell that talks to this system. */
  readonly env: Readonly<Record<"SUPABASE_URL" | "SUPABASE_SECRET_KEYS", string>> & Readonly<Record<string, string>>;
  /** Writes a file and returns its path. */
  write(name: string, text: string): Promise<string>;
}

/** @param more Further variables of the function and of the shell. */
export async function createOperatorRig(more: Readonly<Record<string, string>> = {}): Promise<OperatorRig> {
  const rig = await createFunctionRig();
  const app = buildArchiveApp({ ...rig.env, DEV_ALLOWED_ORIGINS: "", ...more });
  const served = serveSite((request) => app.fetch(request));
  rig.setFunction("archive", served.url);
  const dir = await Deno.makeTempDir();
  return {
    rig,
    env: { SUPABASE_URL: rig.env.SUPABASE_URL!, SUPABASE_SECRET_KEYS: rig.env.SUPABASE_SECRET_KEYS!, ...more },
    async write(name, text) {
      await Deno.writeTextFile(`${dir}/${name}`, text);
      return `${dir}/${name}`;
    },
    async [Symbol.asyncDispose]() {
      await served[Symbol.asyncDispose]();
      await rig[Symbol.asyncDispose]();
      await Deno.remove(dir, { recursive: true });
    },
  };
}
