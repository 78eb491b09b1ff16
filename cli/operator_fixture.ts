// Tests: the operator function behind the real gateway and database, and a directory for the files that commands read.
import { buildArchiveApp } from "../functions/archive/build.ts";
import { createFunctionFixture, type FunctionFixture } from "../dev/testing/function_fixture.ts";
import { serveSite } from "../dev/emulators/sites/serve.ts";

export interface OperatorFixture extends AsyncDisposable {
  readonly fixture: FunctionFixture;
  /** Of a shell that talks to this system. */
  readonly env: Readonly<Record<"SUPABASE_URL" | "SUPABASE_SECRET_KEYS", string>> & Readonly<Record<string, string>>;
  /** Writes a file and returns its path. */
  write(name: string, text: string): Promise<string>;
}

/** @param more Further variables of the function and of the shell. */
export async function createOperatorFixture(more: Readonly<Record<string, string>> = {}): Promise<OperatorFixture> {
  const fixture = await createFunctionFixture();
  const app = buildArchiveApp({ ...fixture.env, DEV_ALLOWED_ORIGINS: "", ...more });
  const served = serveSite((request) => app.fetch(request));
  fixture.setFunction("archive", served.url);
  const dir = await Deno.makeTempDir();
  return {
    fixture,
    env: { SUPABASE_URL: fixture.env.SUPABASE_URL!, SUPABASE_SECRET_KEYS: fixture.env.SUPABASE_SECRET_KEYS!, ...more },
    async write(name, text) {
      await Deno.writeTextFile(`${dir}/${name}`, text);
      return `${dir}/${name}`;
    },
    async [Symbol.asyncDispose]() {
      await served[Symbol.asyncDispose]();
      await fixture[Symbol.asyncDispose]();
      await Deno.remove(dir, { recursive: true });
    },
  };
}
