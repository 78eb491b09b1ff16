// Which variables each part gets: only its own, and no placeholders.
import assert from "node:assert/strict";
import { parseEnv } from "node:util";
import { readConfig } from "../cf-proxy/env.ts";
import { ARCHIVE_NAMES, parseArchiveEnv } from "../functions/archive/env.ts";
import { parseStreamingEnv, STREAMING_NAMES } from "../functions/streaming/env.ts";
import { parseEnv as parseRunnerEnv, RUNNER_NAMES } from "../runner/env.ts";
import { storageTargetsFromEnv } from "../runner/storage_targets.ts";
import { folderFromEnv } from "../runner/targets/folder/folder_from_env.ts";
import { createTestDatabase } from "../dev/testing/test_database.ts";
import { FILLED_ENV, filledEnvText } from "./filled_env.ts";
import { PARTS, partValues } from "./parts.ts";

const ROOT = new URL("..", import.meta.url).pathname;

async function writeEnv(args: readonly string[], text: string) {
  const dir = await Deno.makeTempDir();
  const from = `${dir}/from.env`;
  await Deno.writeTextFile(from, text);
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "-A", `${ROOT}cli/main.ts`, "env", "--from", from, "--out", `${dir}/env`, ...args],
    stdin: "null",
  }).output();
  const files = new Map<string, string>();
  for (const { file } of Object.values(PARTS)) {
    const content = await Deno.readTextFile(`${dir}/env/${file}`).catch(() => null);
    if (content !== null) files.set(file, content);
  }
  const decoder = new TextDecoder();
  return {
    code,
    out: decoder.decode(stdout),
    err: decoder.decode(stderr).replaceAll(from, "from.env"),
    files,
    dir: `${dir}/env`,
    [Symbol.asyncDispose]: () => Deno.remove(dir, { recursive: true }),
  };
}

/** The names that code reads from an environment, with account numbers as N. */
function namesRead(read: (env: Record<string, string>) => unknown): string[] {
  const names = new Set<string>();
  const own: Record<string, string> = { ...FILLED_ENV };
  read(
    new Proxy(own, {
      get(env, name) {
        if (typeof name === "string") names.add(name);
        return Reflect.get(env, name);
      },
      ownKeys: () => [], // enumerating all names reads none of them
    }),
  );
  return [...names].filter((name) => /^[A-Z][A-Z0-9_]+$/.test(name)).map((name) => name.replace(/_\d+$/, "_N"));
}

const ownNames = (part: string) =>
  PARTS[part]!.names.map((entry) => typeof entry === "string" ? entry : entry[0]).sort();
const deployed = (names: readonly string[]) =>
  [...new Set(names)].filter((name) => name !== "DEV_ALLOWED_ORIGINS").sort();

Deno.test("parts: each one → exactly the variables that its env.ts reads", () => {
  const functions = deployed([...STREAMING_NAMES, ...ARCHIVE_NAMES]);
  assert.deepEqual(ownNames("deploy"), functions);
  assert.deepEqual(ownNames("functions"), functions.filter((name) => !name.startsWith("SUPABASE_")));
  const storage = namesRead((env) => [storageTargetsFromEnv(env), folderFromEnv(env)])
    .filter((name) => !/^https?_proxy$/i.test(name));
  assert.deepEqual(ownNames("runner"), deployed([...RUNNER_NAMES, ...storage]));
  assert.deepEqual(ownNames("worker"), deployed(namesRead(readConfig)));
});

Deno.test("parts: .env.example and all parts → the same variables", async () => {
  const text = await Deno.readTextFile(`${ROOT}.env.example`);
  const named = [...text.matchAll(/^(?:# )?([A-Z][A-Z0-9_]+)=/gm)].map(([, name]) => name!.replace(/_\d+$/, "_N"));
  const known = Object.values(PARTS).flatMap(({ names }) =>
    names.map((entry) => typeof entry === "string" ? entry : entry[1])
  );
  assert.deepEqual([...new Set(named)].sort(), [...new Set([...known, "DEV_ALLOWED_ORIGINS"])].sort());
});

/** Each secret and the only files that may hold it. */
const SECRETS: Readonly<Record<string, readonly string[]>> = {
  STREAM_SIGNING_KEYS: ["functions.env", "deploy.env", "worker.json"],
  SUPABASE_SECRET_KEYS: ["deploy.env", "runner.env", "operator.env"],
  SUPABASE_SERVICE_ROLE_KEY: ["deploy.env", "runner.env", "operator.env"],
  HF_FILE_SALT: ["runner.env"],
  RUNNER_WEBHOOK_SECRET: ["runner.env", "database.sql"],
  HF_TOKEN_WORKER: ["database.sql"],
  HF_TOKEN_STORAGE_1: ["runner.env"],
  HF_TOKEN_STORAGE_2: ["runner.env"],
  HF_TOKEN_STORAGE_READ_1: ["worker.json"],
  HF_TOKEN_STORAGE_READ_2: ["worker.json"],
  S3_ACCESS_KEY_ID: ["runner.env"],
  S3_SECRET_ACCESS_KEY: ["runner.env"],
  S3_READ_ACCESS_KEY_ID: ["worker.json"],
  S3_READ_SECRET_ACCESS_KEY: ["worker.json"],
  STORAGE_FOLDER_TOKEN: ["runner.env", "worker.json"],
};

Deno.test("deno task env: secrets → only in their parts' files, mode 0600", async () => {
  await using written = await writeEnv([], filledEnvText());
  assert.deepEqual([written.code, written.err], [0, ""]);
  assert.equal(written.files.size, Object.keys(PARTS).length);
  for (const [name, allowed] of Object.entries(SECRETS)) {
    const inJson = (text: string) => text.includes(JSON.stringify(FILLED_ENV[name]).slice(1, -1));
    const holding = [...written.files].filter(([, text]) => text.includes(FILLED_ENV[name]!) || inJson(text));
    assert.deepEqual(holding.map(([file]) => file).sort(), [...allowed].sort(), name);
  }
  const everywhere = [...written.files.values()].join("\n");
  assert.equal(everywhere.includes("DEV_ALLOWED_ORIGINS"), false, "never in a deployed configuration");
  assert.equal(everywhere.includes("OF_NO_PART"), false);
  for (const file of written.files.keys()) {
    assert.equal((await Deno.stat(`${written.dir}/${file}`)).mode! & 0o777, 0o600, file);
  }
  assert.equal((await Deno.stat(written.dir)).mode! & 0o777, 0o700);
});

Deno.test("deno task env: docker and dotenv → equal values, each part starts", async () => {
  await using written = await writeEnv([], filledEnvText());
  for (const [name, part] of Object.entries(PARTS)) {
    const text = written.files.get(part.file)!;
    if (part.file.endsWith(".env")) {
      // docker: the name ends at the first =, the rest of the line is the value.
      const docker = Object.fromEntries(
        text.trim().split("\n").map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]),
      );
      assert.deepEqual({ ...parseEnv(text) }, docker, name);
      part.check(docker);
    }
    if (part.file.endsWith(".json")) part.check(JSON.parse(text));
  }
  const worker = JSON.parse(written.files.get("worker.json")!);
  assert.equal(
    worker.HF_TOKEN_STORAGE_2,
    FILLED_ENV.HF_TOKEN_STORAGE_READ_2,
    "the reading token, by the writing one's name",
  );
  assert.match(written.files.get("runner.env")!, /^SUPABASE_SECRET_KEYS=\{"default":"sb_secret_/m);
});

Deno.test("deno task env: unchanged .env.example → placeholders named, no file", async () => {
  await using written = await writeEnv([], await Deno.readTextFile(`${ROOT}.env.example`));
  assert.deepEqual([written.code, written.out, written.files.size], [1, "", 0]);
  for (
    const line of [
      "functions: STREAM_SIGNING_KEYS: still contains the placeholder <base64url of 32 bytes>",
      "functions: CLOUDFLARE_WORKERS_URL: still contains the placeholder <worker>",
      "worker: PUBLIC_API_URL: still contains the placeholder <ref>",
      "runner: SUPABASE_URL: still contains the placeholder <ref>",
      "runner: SUPABASE_SECRET_KEYS: still contains the placeholder …",
      "runner: HF_FILE_SALT is missing",
      "database: RUNNER_WEBHOOK_SECRET: still contains the placeholder <base64>",
      "database: HF_SPACE_WEBHOOK_URL: still contains the placeholder <your-runner>",
      "from.env is not complete; nothing was written",
    ]
  ) {
    assert.ok(written.err.split("\n").includes(line), `${line}\n${written.err}`);
  }
});

Deno.test("deno task env functions: gaps in other parts → ignored", async () => {
  const text = `STREAM_SIGNING_KEYS=k1:${
    "A".repeat(43)
  }\nCLOUDFLARE_WORKERS_URL=https://w.test\nHF_TOKEN_STORAGE_1=hf_…\n`;
  await using written = await writeEnv(["functions"], text);
  assert.deepEqual([written.code, [...written.files.keys()]], [0, ["functions.env"]]);
});

for (
  const [what, change, problem] of [
    ["a quote that dotenv would strip", { HF_FILE_SALT: `'quoted salt'` }, /HF_FILE_SALT: contains "'", which docker/],
    ["a comment sign", { HF_FILE_SALT: "salt#of-files" }, /HF_FILE_SALT: contains "#", which docker/],
    ["a variable sign", { S3_SECRET_ACCESS_KEY: "a$PATHb" }, /S3_SECRET_ACCESS_KEY: contains "\$", which docker/],
    ["a key that is none", { STREAM_SIGNING_KEYS: "k1:short" }, /^STREAM_SIGNING_KEYS: /m],
    ["an account without a reading token", { HF_TOKEN_STORAGE_READ_2: "" }, /needs a HF_TOKEN_STORAGE_READ_N/],
    ["an account without a writing token", { HF_TOKEN_STORAGE_2: "" }, /HF_TOKEN_STORAGE_2 is missing/],
    [
      "a bucket without reading keys",
      { S3_READ_ACCESS_KEY_ID: "" },
      /S3_BUCKET needs S3_ENDPOINT, S3_READ_ACCESS_KEY_ID/,
    ],
    ["no webhook secret of its own", { RUNNER_WEBHOOK_SECRET: "" }, /RUNNER_WEBHOOK_SECRET is missing/],
    ["an invalid runner URL", { HF_SPACE_WEBHOOK_URL: "runner" }, /HF_SPACE_WEBHOOK_URL is not an http/],
  ] as const
) {
  Deno.test(`partValues: ${what} → a problem that names it`, () => {
    const env = { ...FILLED_ENV, ...change } as Record<string, string>;
    const problems = Object.values(PARTS).flatMap((part) => {
      const result = partValues(part, env);
      return result.ok ? [] : result.problems;
    });
    assert.match(problems.join("\n"), problem);
  });
}

Deno.test("deno task env --out: a folder that git would commit → refused", async () => {
  const { code, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--quiet",
      "-A",
      `${ROOT}cli/main.ts`,
      "env",
      "--from",
      "/dev/null",
      "--out",
      `${ROOT}docs/env`,
    ],
  }).output();
  assert.equal(code, 2);
  assert.match(new TextDecoder().decode(stderr), /docs\/env is not ignored by git: secrets would be committed/);
});

Deno.test("database.sql: any value → created in Vault, or updated", async () => {
  await using database = await createTestDatabase();
  const secrets = async () =>
    (await database.sql`select name, decrypted_secret as value from vault.decrypted_secrets order by name`)
      .map((row) => [row.name, row.value]);
  const sqlOf = (env: Record<string, string>) => {
    const result = partValues(PARTS.database!, { ...FILLED_ENV, ...env });
    if (!result.ok) assert.fail(result.problems.join());
    return PARTS.database!.write(result.values);
  };
  await database.sql.unsafe(sqlOf({ HF_TOKEN_WORKER: "" }));
  const { HF_SPACE_WEBHOOK_URL: url, RUNNER_WEBHOOK_SECRET: secret } = FILLED_ENV;
  assert.deepEqual(await secrets(), [["runner_url", url], ["runner_webhook_secret", secret]]);
  const odd = "it's \\ $do$ here";
  await database.sql.unsafe(sqlOf({ HF_TOKEN_WORKER: odd, HF_SPACE_WEBHOOK_URL: "https://other.test" }));
  assert.deepEqual(await secrets(), [
    ["hf_token_worker", odd],
    ["runner_url", "https://other.test"],
    ["runner_webhook_secret", secret],
  ]);
});

Deno.test("every part refuses to start with a placeholder, and names it", () => {
  const project = { SUPABASE_URL: "https://p.test", SUPABASE_SECRET_KEYS: '{"default":"sb_secret_a"}' };
  const functions = {
    ...project,
    CLOUDFLARE_WORKERS_URL: "https://w.test",
    STREAM_SIGNING_KEYS: FILLED_ENV.STREAM_SIGNING_KEYS!,
  };
  const runner = { ...project, HF_FILE_SALT: FILLED_ENV.HF_FILE_SALT! };
  const cases:
    readonly (readonly [(env: Record<string, string>) => unknown, Record<string, string>, string, string])[] = [
      [parseStreamingEnv, functions, "CLOUDFLARE_WORKERS_URL", "https://your-worker.test"],
      [parseStreamingEnv, functions, "SUPABASE_SECRET_KEYS", '{"default":"sb_secret_..."}'],
      [parseStreamingEnv, functions, "TITLE_API_URL", "https://<api>.test"],
      [parseArchiveEnv, project, "SUPABASE_SECRET_KEYS", '{"default":"sb_secret_…"}'],
      [parseRunnerEnv, runner, "HF_FILE_SALT", "<any long random text>"],
      [parseRunnerEnv, runner, "RUNNER_WEBHOOK_SECRET", "whsec_<base64>"],
      [parseRunnerEnv, runner, "HF_TOKEN_STORAGE_1", "hf_…"],
      [parseRunnerEnv, runner, "S3_ENDPOINT", "https://<account>.r2.test"],
      [readConfig, { STREAM_SIGNING_KEYS: FILLED_ENV.STREAM_SIGNING_KEYS! }, "HF_TOKEN_STORAGE_1", "hf_xxxx"],
      [readConfig, { STREAM_SIGNING_KEYS: FILLED_ENV.STREAM_SIGNING_KEYS! }, "PUBLIC_API_URL", "https://<ref>.test"],
    ];
  for (const [parse, env, name, value] of cases) {
    parse({ ...env });
    assert.throws(() => parse({ ...env, [name]: value }), new RegExp(`${name}: still contains the placeholder `), name);
  }
});
