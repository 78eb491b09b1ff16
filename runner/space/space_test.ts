import assert from "node:assert/strict";
import { parseEnv } from "../env.ts";
import { readDockerfile } from "../../dev/container/dockerfile.ts";
import { startRunnerFixture } from "../../dev/testing/runner_fixture.ts";

const ROOT = new URL("../..", import.meta.url).pathname;

const ENV = {
  SUPABASE_URL: "https://project.supabase.co",
  SUPABASE_SECRET_KEYS: '{"default":"k"}',
  HF_FILE_SALT: "salt-of-the-test",
};

/** The image's CMD on this machine, with this Deno and this machine's directories. */
async function containerCommand(workDir: string): Promise<string[]> {
  const places: Record<string, string> = { "/app": ROOT, "/work": workDir };
  const [, ...args] = (await readDockerfile()).cmd;
  return [
    Deno.execPath(),
    ...args.map((arg) => arg.replace(/(?<=[=,])\/(?:app|work)(?=,|$)/g, (place) => places[place]!)),
  ];
}

Deno.test("container: CMD with its permissions → archives a job, SIGTERM → exit 0", async () => {
  await using fixture = await startRunnerFixture({ accounts: 1 });
  const runner = fixture.spawn("container", { command: await containerCommand(fixture.workDir) });
  const { port } = await runner.saw("runner:started");
  const health = await fetch(`http://127.0.0.1:${port}/health`);
  assert.deepEqual([health.status, (await health.json()).storage_accounts], [200, 1]);
  const medium = fixture.origin.media[1]!;
  const id = await fixture.enqueue({
    mal_id: 1,
    episode: 1,
    provider: "catalogue",
    video_url: await medium.url(),
    embed_url: medium.embedUrl,
    resolution: medium.resolution,
  });
  const row = await fixture.until(id, (row) => row.status === "ready" || row.terminal_at !== null);
  assert.equal(row.status, "ready", runner.lines.join("\n"));
  await runner.saw("job:finished");
  runner.child.kill("SIGTERM");
  assert.equal((await runner.ended).code, 0);
});

Deno.test("container: CMD without development settings → 0.0.0.0, HEALTHCHECK ok", async () => {
  await using fixture = await startRunnerFixture({ accounts: 1 });
  const { cmd, env, healthcheck } = await readDockerfile();
  assert.equal(cmd[0], "deno");
  const command = await containerCommand(fixture.workDir);
  const runner = fixture.spawn("container", {
    command,
    env: { ...env, DENO_DIR: "", DEV_ALLOWED_ORIGINS: "", PORT: "0" },
  });
  const { port } = await runner.saw("runner:started");
  assert.equal((await fetch(`http://127.0.0.1:${port}/health`)).status, 200);
  const check = async (port: unknown) => {
    const [deno, ...args] = healthcheck;
    assert.equal(deno, "deno");
    return (await new Deno.Command(Deno.execPath(), { args, env: { PORT: String(port) }, stderr: "null" }).output())
      .code;
  };
  assert.equal(await check(port), 0, "it asks the port that PORT names");
  runner.child.kill("SIGTERM");
  assert.equal((await runner.ended).code, 0);
  assert.notEqual(await check(port), 0);
});

Deno.test("container: only a folder target → healthy below /work, else 503", async () => {
  await using fixture = await startRunnerFixture({ accounts: 1 });
  const command = await containerCommand(fixture.workDir);
  const none = { HF_STORAGE_ACCOUNT_COUNT: "0", HF_TOKEN_STORAGE_1: "", HF_STORAGE_USERNAME_1: "" };
  const served = { STORAGE_FOLDER_URL: "http://runner.test/archive", STORAGE_FOLDER_TOKEN: "t" };
  for (const [folder, status] of [[`${fixture.workDir}/archive`, 200], [await Deno.makeTempDir(), 503]] as const) {
    await Deno.mkdir(folder, { recursive: true });
    const env = { ...none, ...served, STORAGE_FOLDER: folder };
    const runner = fixture.spawn(`container-${status}`, { command, env });
    const { port } = await runner.saw("runner:started");
    const health = await fetch(`http://127.0.0.1:${port}/health`);
    assert.deepEqual([health.status, (await health.json()).storage_accounts], [status, 1]);
    runner.child.kill("SIGTERM");
    assert.equal((await runner.ended).code, 0);
  }
});

Deno.test("container: permissions → no private IPv4 network, listening allowed", async () => {
  const { cmd } = await readDockerfile();
  const deny = cmd.find((arg) => arg.startsWith("--deny-net="))!;
  const hosts = [
    ...["0.0.0.1", "0.1.2.3", "0.255.255.255", "10.0.0.1", "100.64.0.1", "100.127.255.255", "169.254.169.254"],
    ...["172.16.0.1", "172.31.255.255", "192.168.1.1", "198.18.0.1", "224.0.0.1", "::ffff:10.0.0.1", "::ffff:0.1.2.3"],
  ];
  const code = `Deno.listen({ hostname: "0.0.0.0", port: 0 }).close();
  for (const hostname of ${JSON.stringify(hosts)}) {
    try { await Deno.connect({ hostname, port: 80 }); console.log(hostname); } catch (error) {
      if (error.name !== "NotCapable") console.log(hostname, error.name);
    }
  }`;
  const dir = await Deno.makeTempDir();
  await Deno.writeTextFile(`${dir}/t.ts`, code);
  const output = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--no-prompt", "--no-config", "--allow-net", deny, `${dir}/t.ts`],
    stdout: "piped",
    stderr: "piped",
  }).output();
  await Deno.remove(dir, { recursive: true });
  const text = new TextDecoder().decode(output.stdout) + new TextDecoder().decode(output.stderr);
  assert.equal(text, "");
});

Deno.test("hideFromChildren: another process of the user → cannot read environ", async () => {
  const root = Deno.uid() === 0;
  const code = `import { hideFromChildren } from "${ROOT}runner/process/harden.ts";
    const cat = () => new Deno.Command("cat", { args: ["/proc/" + Deno.pid + "/environ"], stdout: "piped", stderr: "null" }).output();
    const before = new TextDecoder().decode((await cat()).stdout).includes("SECRET_OF_THE_TEST");
    const hidden = hideFromChildren();
    const after = new TextDecoder().decode((await cat()).stdout).includes("SECRET_OF_THE_TEST");
    console.log(JSON.stringify({ before, hidden, after }));`;
  const dir = await Deno.makeTempDir();
  await Deno.copyFile(`${ROOT}runner/process/harden.ts`, `${dir}/harden.ts`);
  await Deno.writeTextFile(`${dir}/t.ts`, code.replace(`${ROOT}runner/process/harden.ts`, "./harden.ts"));
  await Deno.chmod(dir, 0o755);
  if (root) await Deno.copyFile(Deno.execPath(), `${dir}/deno`); // where everybody may run it from
  const output = await new Deno.Command(root ? `${dir}/deno` : Deno.execPath(), {
    args: ["run", "--quiet", "-A", "--no-config", `${dir}/t.ts`],
    env: { SECRET_OF_THE_TEST: "1", DENO_DIR: `${dir}/cache`, HOME: dir },
    ...(root ? { uid: 65534, gid: 65534 } : {}), // root can read everything, so the test drops root
    stdout: "piped",
    stderr: "piped",
  }).output();
  await Deno.remove(dir, { recursive: true });
  if (Deno.build.os !== "linux") return;
  const text = new TextDecoder().decode(output.stdout);
  assert.deepEqual(
    JSON.parse(text || "{}"),
    { before: true, hidden: true, after: false },
    new TextDecoder().decode(output.stderr),
  );
});

Deno.test("container: README, Dockerfile, compose → port 7860, user is not root", async () => {
  const read = (name: string) => Deno.readTextFile(new URL(name, import.meta.url));
  const [readme, dockerfile, compose] = await Promise.all(["README.md", "Dockerfile", "compose.yaml"].map(read));
  assert.match(readme!, /^---\n[\s\S]*sdk: docker\napp_port: 7860\n[\s\S]*?\n---\n/);
  assert.match(dockerfile!, /useradd --uid 1000/);
  assert.match(dockerfile!, /\nUSER runner\n/);
  assert.match(dockerfile!, /EXPOSE 7860/);
  assert.match(compose!, /"7860:7860"/);
});

Deno.test("image: files → all that the runner loads, no test, nothing else", async () => {
  const output = await new Deno.Command(Deno.execPath(), {
    args: ["info", "--json", `${ROOT}runner/main.ts`],
    stdout: "piped",
  }).output();
  const { modules } = JSON.parse(new TextDecoder().decode(output.stdout)) as { modules: { local?: string }[] };
  const loaded = modules.map((module) => module.local ?? "").filter((path) => path.startsWith(ROOT))
    .map((path) => path.slice(ROOT.length)).filter((path) => !path.startsWith("node_modules/"));
  loaded.push("runner/http/dashboard.html");
  assert.ok(loaded.length > 60, String(loaded.length));
  const copied = (await readDockerfile()).copies.flatMap(({ from }) => from);
  const ignore = (await Deno.readTextFile(`${ROOT}.dockerignore`)).split("\n").filter((line) => !/^(#|$)/.test(line));
  const sent = ignore.filter((line) => line.startsWith("!")).map((line) => line.slice(1));
  assert.deepEqual(ignore[0], "*", "what is not named is not sent: .env, .git, node_modules");
  assert.deepEqual([...sent].sort(), [...copied].sort(), "what is sent is what is copied");
  assert.ok(ignore.indexOf("**/*_test.ts") > ignore.indexOf("!runner"), "the last rule that fits counts");
  assert.ok(ignore.indexOf("!runner/space/deno.json") > ignore.indexOf("runner/space"), "here, too");
  for (const path of loaded) {
    assert.ok(copied.some((place) => path === place || path.startsWith(`${place}/`)), `${path} is not in the image`);
    assert.ok(!path.endsWith("_test.ts") && !path.startsWith("runner/space/"), `${path} is left out of it`);
  }
});

Deno.test("image: deno.json and deno.lock → the packages that the runner loads", async () => {
  const read = async (path: string) => JSON.parse(await Deno.readTextFile(`${ROOT}${path}`));
  const config = ["--config", `${ROOT}runner/space/deno.json`, "--lock", `${ROOT}runner/space/deno.lock`, "--frozen"];
  const output = await new Deno.Command(Deno.execPath(), {
    args: ["info", "--json", ...config, `${ROOT}runner/main.ts`],
    stdout: "piped",
  }).output();
  const { modules } = JSON.parse(new TextDecoder().decode(output.stdout)) as {
    modules: { specifier: string; kind?: string; error?: string; dependencies?: { code?: { error?: string } }[] }[];
  };
  const errors = modules.flatMap((
    { error, dependencies = [] },
  ) => [error, ...dependencies.map((one) => one.code?.error)]);
  const again = "after a change, in the repository's root: " +
    "deno install --config runner/space/deno.json --lock=runner/space/deno.lock --entrypoint runner/main.ts";
  assert.deepEqual(errors.filter((error) => error !== undefined), [], again);
  const { imports } = await read("runner/space/deno.json");
  const { imports: everywhere } = await read("import_map.json");
  for (const [name, specifier] of Object.entries(imports)) assert.equal(specifier, everywhere[name], name);
  const loaded = new Set(modules.filter((module) => module.kind === "npm").map((module) => module.specifier));
  assert.equal(loaded.size, Object.keys(imports).length, "and none that it does not load");
  const [lock, whole] = [await read("runner/space/deno.lock"), await read("deno.lock")];
  assert.equal(Object.values(lock.specifiers).length, Object.keys(imports).length, again);
  for (const [name, entry] of Object.entries(lock.npm)) assert.deepEqual(entry, whole.npm[name], `${name}: ${again}`);
});

Deno.test(".env.example: explains every variable of runner, README and compose", async () => {
  const read = (path: string) => Deno.readTextFile(`${ROOT}${path}`);
  const example = await read(".env.example");
  const explained = new Set([...example.matchAll(/^(?:# )?([A-Z][A-Z0-9_]+)=/gm)].map((match) => match[1]!));
  const names = (text: string, pattern: RegExp) => [...text.matchAll(pattern)].map((match) => match[1]!);
  const storageFiles = [
    "runner/targets/storage_env.ts",
    ...["hub", "s3", "folder"].map((kind) => `runner/targets/${kind}/${kind}_from_env.ts`),
  ];
  const used = [
    ...names(await read("runner/env.ts"), /^ {2}([A-Z][A-Z0-9_]+): /gm),
    ...names((await Promise.all(storageFiles.map(read))).join(), /\b((?:HF|S3|STORAGE)_[A-Z0-9_]*[A-Z0-9])\b/g),
    ...names(await read("runner/space/compose.yaml"), /^ {6}([A-Z][A-Z0-9_]+): /gm),
    ...names(await read("runner/space/README.md"), /`([A-Z][A-Z0-9]*_[A-Z0-9_]+?)(?:_?1…N)?`/g),
  ].map((name) => /^HF_(TOKEN_STORAGE|STORAGE_USERNAME)$/.test(name) ? `${name}_1` : name);
  assert.ok(used.length > 25, used.join());
  assert.deepEqual(used.filter((name) => !explained.has(name)), []);
  assert.match(await read("runner/space/compose.yaml"), /env_file: \.\.\/\.\.\/\.keepstream\/env\/runner\.env\n/);
});

Deno.test("compose: stop_grace_period exceeds the runner's stop; tini is PID 1", async () => {
  const compose = await Deno.readTextFile(new URL("compose.yaml", import.meta.url));
  const grace = Number(/stop_grace_period: (\d+)s/.exec(compose)![1]);
  const { stopSeconds } = parseEnv(ENV);
  assert.ok(grace > stopSeconds + 15, "uploads, then the last calls to the queue");
  const { packages, entrypoint } = await readDockerfile();
  assert.ok(packages.includes("tini"));
  assert.deepEqual(entrypoint, ["tini", "--"]);
});

Deno.test("image: exact Debian tag, one work directory in all files", async () => {
  const { base, cmd, env } = await readDockerfile();
  assert.match(base, /^debian:trixie-\d{8}-slim(@sha256:[0-9a-f]{64})?$/);
  const { workDir } = parseEnv(ENV);
  const text = async (path: string) => await Deno.readTextFile(`${ROOT}${path}`);
  assert.equal(/^# RUNNER_WORK_DIR=(.*)$/m.exec(await text(".env.example"))![1], workDir);
  assert.equal(env.RUNNER_WORK_DIR, undefined, "the default counts");
  assert.match(await text("runner/space/Dockerfile"), new RegExp(`chown runner ${workDir} `));
  assert.ok(cmd.includes(`--allow-write=${workDir}`));
  const compose = await text("runner/space/compose.yaml");
  assert.equal(/RUNNER_WORK_DIR: (.*)/.exec(compose)![1], workDir);
  assert.match(compose, new RegExp(`- work:${workDir}\\n`));
});

Deno.test("compose: mem_limit → as documented for the default concurrency", async () => {
  const compose = await Deno.readTextFile(new URL("compose.yaml", import.meta.url));
  const docs = await Deno.readTextFile(`${ROOT}docs/reference/runner.md`);
  const gigabytes = Number(/mem_limit: (\d+)g/.exec(compose)![1]);
  const [, said, runner, job] = /is (\d+) GiB: (\d+) MiB for the runner[^,]*, (\d+) MiB for each of two jobs/.exec(
    docs,
  )!.map(Number);
  assert.equal(said, gigabytes);
  assert.ok(runner! + 2 * job! <= gigabytes * 1024);
  assert.equal(parseEnv(ENV).concurrency, 2);
});

Deno.test("README front matter: fields and values of the Hub's reference only", async () => {
  const readme = await Deno.readTextFile(new URL("README.md", import.meta.url));
  const [, yaml] = /^---\n([^]*?)\n---\n/.exec(readme)!;
  const fields = Object.fromEntries(yaml!.split("\n").map((line) => line.split(/: (.*)/).slice(0, 2)));
  const colours = ["red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"];
  assert.deepEqual(Object.keys(fields).sort(), [
    ...["app_port", "colorFrom", "colorTo", "emoji", "license", "pinned", "sdk", "short_description", "title"],
  ]);
  assert.ok(colours.includes(fields.colorFrom!) && colours.includes(fields.colorTo!));
  assert.deepEqual([fields.sdk, fields.app_port, fields.pinned], ["docker", "7860", "false"]);
  assert.match(fields.emoji!, /^\p{Emoji_Presentation}$/u);
  assert.ok(fields.short_description!.length <= 60);
});
