// The real Supabase CLI with this machine's Postgres and a loopback API: the tested files are the deployed ones.
import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import createClient from "postgres";
import { EDGE_DENO, edgeDeno } from "../testing/edge_deno.ts";
import { startFunction } from "../testing/function_process.ts";
import { createFunctionFixture } from "../testing/function_fixture.ts";
import { startGuard } from "../process/guard.ts";
import { startPostgres } from "../postgres/postgres.ts";
import { createTestDatabase } from "../testing/test_database.ts";
import { npxPath } from "../testing/npx_path.ts";
import { SUPABASE_CLI } from "../testing/tool_versions.ts";

const ROOT = new URL("../..", import.meta.url).pathname;

async function supabase(args: readonly string[], env: Record<string, string> = {}): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command("/usr/bin/env", {
    args: ["supabase", ...args, "--yes", "--workdir", ROOT],
    env: {
      PATH: await npxPath(SUPABASE_CLI),
      PGSSLMODE: "disable",
      SUPABASE_TELEMETRY_DISABLED: "1",
      SUPABASE_NO_UPDATE_NOTIFIER: "1",
      SUPABASE_NO_KEYRING: "1",
      HF_SPACE_WEBHOOK_URL: "https://<your-runner>",
      RUNNER_WEBHOOK_SECRET: "whsec_<base64>",
      ...env,
    },
    stdin: "null",
  }).output();
  const text = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
  assert.ok(success, text);
  return text;
}

Deno.test("supabase db push: an empty project → migrations and seed applied", async () => {
  const guard = startGuard();
  const dataDir = await Deno.makeTempDir({ prefix: "keepstream-cli-" });
  await Deno.chmod(dataDir, 0o755);
  const postgres = await startPostgres({ dataDir, port: 0, guard, durable: false, migrations: [] });
  const sql = createClient(postgres.url, { max: 1, onnotice: () => {} });
  try {
    const remote = `--remote=${postgres.url}`;
    await supabase(["db", "push", "--include-seed", remote]);
    assert.deepEqual([...await sql`select name from vault.secrets`], [], "the environment holds those of .env.example");
    const [episode] = await sql`select public.read_episode(1, 1) as response`;
    assert.equal(episode?.response.providers[0].name, "catalogue");
    assert.match(await supabase(["db", "push", remote]), /up to date/i);
  } finally {
    await sql.end({ timeout: 1 });
    await postgres.stop();
    await guard.close();
    await Deno.remove(dataDir, { recursive: true });
  }
});

Deno.test("supabase db push: after our migration runner → nothing to do", async () => {
  await using database = await createTestDatabase();
  assert.match(await supabase(["db", "push", `--remote=${database.url}`]), /up to date/i);
});

Deno.test("supabase functions deploy: the upload → complete, no secret, runs", async (t) => {
  await using uploads = await deployFunctions();
  await using fixture = await createFunctionFixture();
  for (const [name, paths] of [["streaming", ["health", "1/1"]], ["archive", ["health", "counts"]]] as const) {
    const upload = uploads.functions.get(name)!;
    await t.step(name, () => {
      assert.ok(upload, `${name} was not uploaded`);
      assert.equal(upload.metadata.verify_jwt, false);
      assert.equal(upload.metadata.entrypoint_path, `functions/${name}/index.ts`);
      assert.equal(upload.metadata.import_map_path, `functions/${name}/deno.json`);
      const strangers = upload.files.filter((file) =>
        !/^(core|sources|functions)\/[\w/]+(\.types)?\.(ts|json|lock)$/.test(file)
      );
      assert.deepEqual(strangers, []);
      assert.deepEqual(upload.files.filter((file) => file.includes("_test.")), []);
      assert.ok(upload.files.includes(`functions/${name}/deno.lock`));
    });
    const entry = `functions/${name}/index.ts`;
    await Deno.writeTextFile(join(upload.dir, "edge.ts"), asEdgeRuntime(`./${entry}`));
    const programs = [
      { by: "this Deno", entry, deno: Deno.execPath() },
      { by: EDGE_DENO, entry: "edge.ts", config: `functions/${name}/deno.json`, deno: await edgeDeno() },
    ];
    for (const { by, ...program } of programs) {
      await t.step(`${name} runs by itself, by ${by}`, async () => {
        await using running = await startFunction({ ...program, env: fixture.env, dir: upload.dir });
        for (const path of paths) {
          const response = await fetch(`${running.url}/${name}/${path}`, { headers: { apikey: fixture.secretKey } });
          assert.deepEqual([response.status, (await response.json()).success], [200, true], path);
        }
      });
    }
  }
});

/** The edge runtime decides where Deno.serve listens; its Deno version does not support DENO_SERVE_ADDRESS yet. */
function asEdgeRuntime(entry: string): string {
  return `const { serve } = Deno;
const port = Number(Deno.env.get("DENO_SERVE_ADDRESS")!.split(":").at(-1));
Deno.serve = ((handler: Deno.ServeHandler) => serve({ hostname: "127.0.0.1", port }, handler)) as typeof Deno.serve;
await import(${JSON.stringify(entry)});
`;
}

interface Upload {
  readonly dir: string;
  readonly files: readonly string[];
  readonly metadata: Readonly<Record<string, unknown>>;
}

/** Runs the CLI against a local API that records what it is sent. */
async function deployFunctions(): Promise<{ functions: Map<string, Upload> } & AsyncDisposable> {
  const work = await Deno.makeTempDir();
  const functions = new Map<string, Upload>();
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, async (request) => {
    const url = new URL(request.url);
    if (!url.pathname.endsWith("/functions/deploy")) {
      return Response.json(request.method === "PUT" ? { functions: [] } : []);
    }
    const slug = url.searchParams.get("slug")!;
    functions.set(slug, await keepUpload(join(work, slug), await request.formData()));
    const deployed = {
      id: slug,
      slug,
      name: slug,
      status: "ACTIVE",
      version: 1,
      created_at: 1,
      updated_at: 1,
      verify_jwt: false,
    };
    return Response.json(deployed, { status: 201 });
  });
  const profile = join(work, "profile.yaml");
  const url = `http://127.0.0.1:${server.addr.port}`;
  await Deno.writeTextFile(
    profile,
    `name: local\napi_url: ${url}\ndashboard_url: ${url}\nproject_host: supabase.test\n`,
  );
  await supabase(["functions", "deploy", "--use-api", "--profile", profile, "--project-ref", "abcdefghijklmnopqrst"], {
    SUPABASE_ACCESS_TOKEN: `sbp_${"0".repeat(40)}`,
  });
  return {
    functions,
    async [Symbol.asyncDispose]() {
      await server.shutdown();
      await Deno.remove(work, { recursive: true });
    },
  };
}

async function keepUpload(dir: string, form: FormData): Promise<Upload> {
  const files: string[] = [];
  let metadata = {};
  for (const [field, value] of form) {
    if (field === "metadata") metadata = JSON.parse(typeof value === "string" ? value : await value.text());
    else if (typeof value !== "string") {
      files.push(value.name);
      await Deno.mkdir(dirname(join(dir, value.name)), { recursive: true });
      await Deno.writeFile(join(dir, value.name), await value.bytes());
    }
  }
  return { dir, files, metadata };
}
