// Runs every command in a shell block of a document exactly as written: against emulated clouds, a local Postgres, and a
// `deno task dev`. A new command in a document fails until it is run here.
import assert from "node:assert/strict";
import { createClient } from "@supabase/supabase-js";
import { join } from "node:path";
import { type CloudApi, PROJECT_REF, startCloudflareApi, startSupabaseApi } from "../emulators/cloud_api.ts";
import { blockCommands, commandsOf, inlineCommands } from "./documented_commands.ts";
import { freePort } from "../process/free_port.ts";
import { startDockerEngine } from "../emulators/docker_engine.ts";
import { FILLED_ENV, filledEnvText } from "../../cli/filled_env.ts";
import { createTestDatabase } from "./test_database.ts";
import { findRunningSystem, type RunningSystem } from "../system/system.ts";
import { copyCheckout, ran, run, writeParts } from "./run_documented.ts";
import { WRANGLER_NODE } from "./tool_versions.ts";

const ROOT = new URL("../..", import.meta.url).pathname;
const { tasks } = JSON.parse(await Deno.readTextFile(`${ROOT}deno.json`)) as { tasks: Record<string, unknown> };

Deno.test("documents: task env → one file per part", async () => {
  await using copy = await copyCheckout(".env.example");
  await run("cp .env.example .env", { cwd: copy.dir });
  await Deno.writeTextFile(`${copy.dir}/.env`, filledEnvText());
  const command = "npx -y deno@2.9.6 task env";
  await run(command, { instead: { [command]: `${command} --from ${copy.dir}/.env --out ${copy.dir}/env` } });
  assert.equal((await Array.fromAsync(Deno.readDir(`${copy.dir}/env`))).length, 7);
});

Deno.test("documents: Supabase commands → database and functions deployed", async () => {
  await using api = startSupabaseApi();
  await using database = await createTestDatabase();
  await using copy = await copyCheckout("supabase", "functions", "core", "sources");
  await writeParts(copy.dir);
  await Deno.writeTextFile(
    `${copy.dir}/profile.yaml`,
    `name: local\napi_url: ${api.url}\ndashboard_url: ${api.url}\nproject_host: supabase.test\n`,
  );
  const options = { cwd: copy.dir, env: api.env };
  const cli = "npx -y supabase@3.1.0 ";
  const local = { [cli]: `${cli}--profile ${copy.dir}/profile.yaml --yes ` };
  // Signs in with a browser, so only its arguments are tried.
  const login = "npx -y supabase@3.1.0 login";
  assert.match(
    await run(login, { ...options, instead: { login: "login --help" } }),
    /Authenticate using an access token/,
  );
  await run("npx -y supabase@3.1.0 link --project-ref <ref>", {
    ...options,
    instead: { ...local, "<ref>": PROJECT_REF },
  });
  const remote = { ...local, "--remote": `--remote=${database.url}` };
  assert.match(await run("npx -y supabase@3.1.0 db push --remote", { ...options, instead: remote }), /up to date/i);
  const query = "npx -y supabase@3.1.0 db query --remote --file .keepstream/env/database.sql";
  for (let round = 1; round <= 2; round++) await run(query, { ...options, instead: remote });
  const secrets = await database.sql`select name, decrypted_secret from vault.decrypted_secrets order by name`;
  assert.deepEqual(secrets.map((row) => row.decrypted_secret), [
    FILLED_ENV.HF_TOKEN_WORKER,
    FILLED_ENV.HF_SPACE_WEBHOOK_URL,
    FILLED_ENV.RUNNER_WEBHOOK_SECRET,
  ]);
  await run(query, { ...options, instead: local }); // for a linked project it uses the API
  const sql = JSON.parse(api.sent.find(({ path }) => path.endsWith("/database/query"))!.body).query;
  assert.equal(sql, await Deno.readTextFile(`${copy.dir}/.keepstream/env/database.sql`));

  await run("npx -y supabase@3.1.0 secrets set --env-file .keepstream/env/functions.env", {
    ...options,
    instead: local,
  });
  const sent = JSON.parse(api.sent.find(({ path }) => path.endsWith("/secrets"))!.body) as {
    name: string;
    value: string;
  }[];
  const file = await Deno.readTextFile(`${copy.dir}/.keepstream/env/functions.env`);
  const lines = sent.map(({ name, value }) => `${name}=${value}\n`).sort().join("");
  assert.equal(lines, file.split(/(?<=\n)/).sort().join(""), "every value arrives unchanged");
  assert.doesNotMatch(lines, /HF_TOKEN|SALT|WEBHOOK|SECRET_ACCESS|SUPABASE/);

  await run("npx -y supabase@3.1.0 functions deploy --use-api streaming archive", { ...options, instead: local });
  const deployed = api.sent.filter(({ path }) => path.endsWith("/functions/deploy")).map(({ query }) =>
    query.get("slug")
  );
  assert.deepEqual(deployed.sort(), ["archive", "streaming"]);
});

Deno.test("documents: deno serve and deno run → functions respond", async () => {
  await using copy = await copyCheckout(".env.example");
  await writeParts(copy.dir);
  const env = ".keepstream/env/deploy.env";
  for (
    const command of [
      `deno serve --allow-net --allow-env --env-file=${env} functions/main.ts`,
      `deno run --allow-net --allow-env --env-file=${env} functions/main.ts`,
    ]
  ) {
    ran.add(command);
    const port = freePort();
    const [, verb, ...args] = command.replace(env, join(copy.dir, env)).split(" ");
    const child = new Deno.Command(Deno.execPath(), {
      args: [verb!, ...(verb === "serve" ? ["--host", "127.0.0.1", "--port", `${port}`] : []), ...args],
      cwd: ROOT,
      env: { DENO_SERVE_ADDRESS: `tcp:127.0.0.1:${port}` },
      stdout: "null",
      stderr: "null",
    }).spawn();
    const response = await firstResponse(`http://127.0.0.1:${port}/api/v1/archive/counts`, child);
    assert.equal(response.status, 401);
    child.kill("SIGTERM");
    await child.status;
  }
});

/** The first response of a program that is starting. */
async function firstResponse(url: string, child: Deno.ChildProcess): Promise<Response> {
  let ended = false;
  child.status.then(() => ended = true);
  for (;;) {
    const response = await fetch(url).catch(() => null);
    if (response !== null) {
      await response.body?.cancel();
      return response;
    }
    assert.equal(ended, false, "it ended without a response");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

const wrangler = (rest: string) => `npx -y -p ${WRANGLER_NODE} -p wrangler@4.156.0 wrangler ${rest}`;

interface Binding {
  readonly name: string;
  readonly type: string;
  readonly text?: string;
}

/** Bindings that a Worker was deployed with. */
function bindingsOf(api: CloudApi, worker: string): readonly Binding[] {
  const upload = api.sent.find(({ method, path }) => method === "PUT" && path.endsWith(`/scripts/${worker}`))!;
  return JSON.parse(/name="metadata"\r\n\r\n(.*?)\r\n/.exec(upload.body)![1]!).bindings;
}

Deno.test("documents: wrangler commands → proxy and watch page, with any Node", async () => {
  await using api = startCloudflareApi();
  await using copy = await copyCheckout(".env.example");
  await writeParts(copy.dir);
  const options = { env: api.env, instead: { "../.keepstream": `${copy.dir}/.keepstream` } };
  // Signs in with a browser, so only its arguments are tried.
  assert.match(
    await run(wrangler("login"), { env: api.env, instead: { login: "login --help" } }),
    /Login to Cloudflare/,
  );
  await run(wrangler("deploy --cwd cf-proxy --secrets-file ../.keepstream/env/worker.json"), options);
  await run(wrangler("deploy --cwd web --secrets-file ../.keepstream/env/web.json"), options);
  const secretsOf = (worker: string) =>
    Object.fromEntries(
      bindingsOf(api, worker).filter(({ type }) => type === "secret_text").map(({ name, text }) => [name, text]),
    );
  const worker = JSON.parse(await Deno.readTextFile(`${copy.dir}/.keepstream/env/worker.json`));
  assert.deepEqual(secretsOf("keepstream-proxy"), worker);
  assert.deepEqual(secretsOf("keepstream-web"), { PUBLIC_API_URL: FILLED_ENV.PUBLIC_API_URL });
  assert.deepEqual(bindingsOf(api, "keepstream-proxy").filter(({ type }) => type === "plain_text"), []);
  await run(wrangler("secret bulk --cwd cf-proxy ../.keepstream/env/worker.json"), options);
  const bulk = JSON.parse(api.sent.findLast(({ path }) => path.endsWith("/secrets-bulk"))!.body).secrets as Record<
    string,
    Binding
  >;
  assert.deepEqual(Object.fromEntries(Object.values(bulk).map(({ name, text }) => [name, text])), worker);
});

Deno.test("documents: node_modules → neither wrangler nor supabase", async () => {
  for (const tool of ["wrangler", "supabase"]) {
    assert.equal(await Deno.stat(`${ROOT}node_modules/.bin/${tool}`).catch(() => null), null, tool);
  }
});

const DOCKER = [
  "docker build -f runner/space/Dockerfile -t keepstream-runner .",
  "docker run --env-file .keepstream/env/runner.env -p 7860:7860 keepstream-runner",
  "docker compose -f runner/space/compose.yaml up -d",
] as const;
const hasDocker = await succeeds("docker", ["--version"]);
const hasCompose = hasDocker && await succeeds("docker", ["compose", "version"]);

async function succeeds(program: string, args: readonly string[]): Promise<boolean> {
  const command = new Deno.Command(program, { args: [...args], stdout: "null", stderr: "null" });
  return await command.output().then(({ success }) => success, () => false);
}

Deno.test("documents: Docker commands, with an emulated engine if installed", async () => {
  for (const command of DOCKER) ran.add(command);
  for (const file of ["runner/space/Dockerfile", "runner/space/compose.yaml"]) await Deno.stat(ROOT + file);
  if (!hasDocker) return; // a development machine needs no engine and no client
  await using copy = await copyCheckout("runner/space");
  await writeParts(copy.dir);
  await using engine = startDockerEngine();
  const options = { cwd: copy.dir, env: { DOCKER_HOST: engine.url.replace("http:", "tcp:"), DOCKER_BUILDKIT: "0" } };
  await run(DOCKER[0], options);
  assert.equal(engine.built(), "runner/space/Dockerfile");
  await run(DOCKER[1], { ...options, instead: { "docker run": "docker run -d" } }); // detached, because its output is not read here
  const file = await Deno.readTextFile(`${copy.dir}/.keepstream/env/runner.env`);
  assert.deepEqual(engine.env().sort(), file.trim().split("\n").sort(), "every value arrives unchanged");
  if (hasCompose) await run(DOCKER[2], { ...options, instead: { "up -d": "config --quiet" } });
});

Deno.test("documents: Space commands → the runner's files pushed", async () => {
  await using copy = await copyCheckout("runner", "core", "sources", ".dockerignore");
  const git = (...args: string[]) => new Deno.Command("git", { args, cwd: copy.dir, stdout: "null" }).output();
  await git("init", "--quiet", "--bare", "hub.git");
  const env = Object.fromEntries(
    ["AUTHOR", "COMMITTER"].flatMap((who) => [[`GIT_${who}_NAME`, "a"], [`GIT_${who}_EMAIL`, "a@a.test"]]),
  );
  const options = { cwd: copy.dir, env };
  const url = "https://huggingface.co/spaces/<you>/<space>";
  await run(`git clone ${url} space`, { ...options, instead: { [url]: "hub.git" } });
  await run("cp runner/space/README.md runner/space/Dockerfile space/", options);
  await run("cp -r .dockerignore core sources runner space/", options);
  await run('cd space && git add -A && git commit -m "Deploy the runner" && git push', options);
  const { stdout } = await new Deno.Command("git", {
    args: ["ls-tree", "--name-only", "HEAD"],
    cwd: `${copy.dir}/hub.git`,
  }).output();
  assert.deepEqual(new TextDecoder().decode(stdout).trim().split("\n"), [
    ".dockerignore",
    "Dockerfile",
    "README.md",
    "core",
    "runner",
    "sources",
  ]);
});

Deno.test("documents: dev and the commands to try with it → they work", async () => {
  const dataDir = await Deno.makeTempDir({ prefix: "keepstream-documents-" });
  await Deno.chmod(dataDir, 0o755);
  const dev = "npx -y deno@2.9.6 task dev";
  ran.add(dev);
  const child = new Deno.Command("/bin/sh", {
    args: ["-c", `exec ${dev} --free-ports --data-dir ${dataDir}`],
    cwd: ROOT,
    stdin: "null",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const ready = Promise.withResolvers<void>();
  const ended = (async () => {
    let text = "";
    for await (const part of child.stdout.pipeThrough(new TextDecoderStream())) {
      if ((text += part).includes("keepstream is ready")) ready.resolve();
    }
    ready.reject(new Error(`dev ended: ${text}`));
  })();
  let system: RunningSystem | null = null;
  try {
    await ready.promise;
    system = await findRunningSystem(dataDir);
    assert.ok(system);
    const { gateway } = system.urls;
    const options = { instead: { "http://127.0.0.1:54321": gateway } };
    assert.match(await run("curl http://127.0.0.1:54321/functions/v1/streaming/55825/1", options), /"success":true/);
    const [own] = (await blockCommands()).filter(({ text }) => text.startsWith("cat > own.csv"));
    await using folder = await copyCheckout("providers.example.json");
    await run(own!.text, { cwd: folder.dir });
    const csv = "own.csv";
    const env = { KEEPSTREAM_DATA_DIR: dataDir };
    const imported = await run("npx -y deno@2.9.6 task catalogue import own.csv", {
      env,
      instead: { [csv]: `${folder.dir}/${csv}` },
    });
    assert.match(imported, /wrote: 1 new/);
    assert.match(await run("curl http://127.0.0.1:54321/functions/v1/streaming/1/1", options), /"success":true/);

    // The operator's commands on a deployed system: this one, with files as `deno task env` writes them.
    const { SUPABASE_URL: url, SUPABASE_SECRET_KEYS: keys } = system.env;
    await writeParts(folder.dir, Object.entries(system.env).map(([name, value]) => `${name}=${value}\n`).join(""));
    const operator = ".keepstream/env/operator.env";
    const files = { [operator]: `${folder.dir}/${operator}` };
    await Deno.writeTextFile(`${folder.dir}/${operator}`, `SUPABASE_URL=${url}\nSUPABASE_SECRET_KEYS=${keys}\n`);
    const apply = "npx -y deno@2.9.6 task providers apply providers.example.json";
    assert.match(await run(`${apply} --dry-run --env-file ${operator}`, { instead: files }), /\+ animasu/);
    assert.match(await run(`${apply} --env-file ${operator}`, { instead: files }), /applied to http/);
    const runner = ".keepstream/env/runner.env";
    await Deno.writeTextFile(
      `${folder.dir}/${runner}`,
      Object.entries(system.env).map(([name, value]) => `${name}=${value}\n`).join(""),
    );
    const health = await run(`npx -y deno@2.9.6 task ks storage health --env-file ${runner}`, {
      instead: { [runner]: `${folder.dir}/${runner}` },
    });
    assert.match(health, /^target: http:\/\/127\.0\.0\.1:\d+ \(.*runner\.env\)$/m);
    assert.match(health, /^hub:keeper-one: ok/m);

    // The video of own.csv does not exist. Without this, its retry may become due and fail the run.
    const client = createClient(system.urls.gateway, system.keys.secret, { auth: { persistSession: false } });
    const { data: jobs } = await client.from("video_queue").select("id").eq("mal_id", 1);
    for (const { id } of jobs!) assert.equal((await client.rpc("cancel_video", { id })).error, null);
    await run("deno run -A runner/main.ts run-once", {
      env: { ...system.env, PORT: "0", RUNNER_WORK_DIR: `${dataDir}/other` },
    });
    const serve = "deno run -A runner/main.ts";
    ran.add(serve);
    const port = freePort();
    const served = new Deno.Command(Deno.execPath(), {
      args: serve.split(" ").slice(1),
      cwd: ROOT,
      env: { ...system.env, PORT: `${port}`, RUNNER_WORK_DIR: `${dataDir}/third` },
      stdout: "null",
    }).spawn();
    assert.equal((await firstResponse(`http://127.0.0.1:${port}/health`, served)).status, 200);
    served.kill("SIGTERM");
    assert.equal((await served.status).code, 0);
  } finally {
    // Ctrl-C in a terminal reaches every process of the command; npm does not forward signals.
    if (system === null) child.kill("SIGKILL");
    else Deno.kill(system.pid, "SIGINT");
    await child.status;
    await ended;
    await Deno.remove(dataDir, { recursive: true });
  }
});

Deno.test("documents: task test with a file → runs it", async () => {
  const file = "core/http/range_test.ts";
  const all = "npx -y deno@2.9.6 task test";
  const ended = await Promise.all([
    run(all, { instead: { "task test": `task test ${file}` } }),
    run("npx -y deno@2.9.6 task test [files…]", { instead: { "[files…]": file } }),
  ]);
  for (const text of ended) assert.match(text, /ok \| \d+ passed/);
});

Deno.test("documents: commands that other tests run → valid arguments", async () => {
  // dev/system/system_test.ts and tests/scenarios/demo_test.ts.
  for (const command of ["npx -y deno@2.9.6 task dev --reset", "npx -y deno@2.9.6 task demo"]) {
    const [task] = /(?<=task )\w+/.exec(command)!;
    assert.match(
      await run(command, { instead: { [command]: `${command} --help` } }),
      new RegExp(`usage: deno task ${task}`),
    );
  }
});

Deno.test("documents: every command of a shell block → run above, and no other", async () => {
  const documented = await blockCommands();
  const missing = documented.filter(({ text }) => !ran.has(text)).map(({ file, line, text }) =>
    `${file}:${line}: ${text}`
  );
  assert.deepEqual(missing, [], "run it in this file");
  assert.deepEqual(
    [...ran].filter((text) => !documented.some((one) => one.text === text)),
    [],
    "no document has it",
  );
});

Deno.test("documents: commands in running text → existing tasks, one version", async () => {
  for (const { file, line, text } of await inlineCommands()) {
    const at = `${file}:${line}: ${text}`;
    const task = /^(?:npx -y deno@\S+ |deno )task (?:--\S+ )*([\w:]+)/.exec(text)?.[1];
    if (task !== undefined) assert.ok(task in tasks, `${at}: there is no task ${task}`);
    assert.doesNotMatch(text, /^npx (?!-y )/, `${at}: name a version`);
  }
  const versions = new Map<string, Set<string>>();
  const { stdout } = await new Deno.Command("git", { args: ["ls-files", "-z"], cwd: ROOT }).output();
  const files = new TextDecoder().decode(stdout).split("\0").filter((name) =>
    /\.(md|ts|jsonc?|toml|ya?ml)$|Dockerfile$|^\.ci\//.test(name) && !name.endsWith("deno.lock")
  );
  for (const file of files) {
    for (
      const [, tool, version] of (await Deno.readTextFile(ROOT + file)).matchAll(/\b(supabase|wrangler)@(\d[\w.-]*)/g)
    ) {
      versions.set(tool!, (versions.get(tool!) ?? new Set()).add(version!));
    }
  }
  assert.deepEqual(Object.fromEntries([...versions].map(([tool, found]) => [tool, [...found]])), {
    supabase: ["3.1.0"],
    wrangler: ["4.156.0"],
  });
});

Deno.test("commandsOf: comments, continued lines and here-documents", () => {
  const text = "```sh\na b   # why\n# only why\nc \\\n  d\ncat > f <<'END'\n1 # kept\nEND\n```\n```json\n{}\n```\n";
  assert.deepEqual(commandsOf("x.md", text), [
    { file: "x.md", line: 2, text: "a b" },
    { file: "x.md", line: 4, text: "c d" },
    { file: "x.md", line: 6, text: "cat > f <<'END'\n1 # kept\nEND" },
  ]);
});
