import assert from "node:assert/strict";
import { parseEnv } from "../env.ts";
import { startRunnerRig } from "../../dev/runner_rig.ts";

const ROOT = new URL("../..", import.meta.url).pathname;

Deno.test("the container's command line: its permissions are enough to archive a video", async () => {
  await using rig = await startRunnerRig({ accounts: 1 });
  const medium = rig.origin.media[1]!;
  const id = await rig.enqueue({
    mal_id: 1,
    episode: 1,
    provider: "catalogue",
    video_url: await medium.url(),
    embed_url: medium.embedUrl,
    resolution: medium.resolution,
  });
  const [, ...args] = await containerCommand();
  const places: Record<string, string> = { "/app": ROOT, "/work": rig.workDir };
  const local = args.map((arg) => arg.replace(/(?<=[=,])\/(?:app|work)(?=,|$)/g, (place) => places[place]!));
  const output = await new Deno.Command(Deno.execPath(), {
    args: [...local.slice(0, -1), `${ROOT}runner/main.ts`, "run-once"],
    env: { ...rig.env },
    stdout: "piped",
    stderr: "piped",
  }).output();
  const text = new TextDecoder().decode(output.stdout) + new TextDecoder().decode(output.stderr);
  assert.equal(output.code, 0, text);
  assert.equal((await rig.job(id)).status, "ready", text);
});

Deno.test("the container's permissions: a private network is out of reach even past the proxy", async () => {
  const deny = (await containerCommand()).find((arg) => arg.startsWith("--deny-net="))!;
  const code = `for (const hostname of ["10.0.0.1", "169.254.169.254", "192.168.1.1", "172.20.0.1"]) {
    try { await Deno.connect({ hostname, port: 80 }); console.log("reached"); } catch (error) { console.log(error.name); }
  }`;
  const dir = await Deno.makeTempDir();
  await Deno.writeTextFile(`${dir}/t.ts`, code);
  const output = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--no-prompt", "--no-config", "--allow-net", deny, `${dir}/t.ts`],
    stdout: "piped",
  }).output();
  await Deno.remove(dir, { recursive: true });
  assert.equal(new TextDecoder().decode(output.stdout).trim(), Array(4).fill("NotCapable").join("\n"));
});

Deno.test("hideFromChildren: another process of the same user cannot read the runner's environment", async () => {
  const root = Deno.uid() === 0;
  const code = `import { hideFromChildren } from "${ROOT}runner/harden.ts";
    const cat = () => new Deno.Command("cat", { args: ["/proc/" + Deno.pid + "/environ"], stdout: "piped", stderr: "null" }).output();
    const before = new TextDecoder().decode((await cat()).stdout).includes("SECRET_OF_THE_TEST");
    const hidden = hideFromChildren();
    const after = new TextDecoder().decode((await cat()).stdout).includes("SECRET_OF_THE_TEST");
    console.log(JSON.stringify({ before, hidden, after }));`;
  const dir = await Deno.makeTempDir();
  await Deno.copyFile(`${ROOT}runner/harden.ts`, `${dir}/harden.ts`);
  await Deno.writeTextFile(`${dir}/t.ts`, code.replace(`${ROOT}runner/harden.ts`, "./harden.ts"));
  await Deno.chmod(dir, 0o755);
  if (root) await Deno.copyFile(Deno.execPath(), `${dir}/deno`); // where everybody may run it from
  const output = await new Deno.Command(root ? `${dir}/deno` : Deno.execPath(), {
    args: ["run", "--quiet", "-A", "--no-config", `${dir}/t.ts`],
    env: { SECRET_OF_THE_TEST: "1", DENO_DIR: `${dir}/cache`, HOME: dir },
    ...(root ? { uid: 65534, gid: 65534 } : {}), // root reads everything, so the test leaves root behind
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

Deno.test("README front matter, Dockerfile and compose agree on port 7860 and a user that is not root", async () => {
  const read = (name: string) => Deno.readTextFile(new URL(name, import.meta.url));
  const [readme, dockerfile, compose] = await Promise.all(["README.md", "Dockerfile", "compose.yaml"].map(read));
  assert.match(readme!, /^---\n[\s\S]*sdk: docker\napp_port: 7860\n[\s\S]*?\n---\n/);
  assert.match(dockerfile!, /useradd --uid 1000/);
  assert.match(dockerfile!, /\nUSER runner\n/);
  assert.match(dockerfile!, /EXPOSE 7860/);
  assert.match(compose!, /"7860:7860"/);
});

Deno.test("the image holds every file that the runner loads, no test, and nothing else of the repository", async () => {
  const output = await new Deno.Command(Deno.execPath(), {
    args: ["info", "--json", `${ROOT}runner/main.ts`],
    stdout: "piped",
  }).output();
  const { modules } = JSON.parse(new TextDecoder().decode(output.stdout)) as { modules: { local?: string }[] };
  const loaded = modules.map((module) => module.local ?? "").filter((path) => path.startsWith(ROOT))
    .map((path) => path.slice(ROOT.length)).filter((path) => !path.startsWith("node_modules/"));
  loaded.push("runner/http/dashboard.html");
  assert.ok(loaded.length > 60, String(loaded.length));
  const dockerfile = await Deno.readTextFile(new URL("Dockerfile", import.meta.url));
  const copied = [...dockerfile.matchAll(/^COPY --chown=runner (.+) \S+$/gm)].flatMap((match) => match[1]!.split(" "));
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

Deno.test("the image's deno.json names every package that the runner loads, its deno.lock the ones the repository's has", async () => {
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

Deno.test("every name that the runner, its README and its compose file read or set is explained in .env.example", async () => {
  const read = (path: string) => Deno.readTextFile(`${ROOT}${path}`);
  const example = await read(".env.example");
  const explained = new Set([...example.matchAll(/^(?:# )?([A-Z][A-Z0-9_]+)=/gm)].map((match) => match[1]!));
  const names = (text: string, pattern: RegExp) => [...text.matchAll(pattern)].map((match) => match[1]!);
  const used = [
    ...names(await read("runner/env.ts"), /^ {2}([A-Z][A-Z0-9_]+): /gm),
    ...names(await read("runner/storage/targets_from_env.ts"), /\b((?:HF|S3|STORAGE)_[A-Z0-9_]*[A-Z0-9])\b/g),
    ...names(await read("runner/space/compose.yaml"), /^ {6}([A-Z][A-Z0-9_]+): /gm),
    ...names(await read("runner/space/README.md"), /`([A-Z][A-Z0-9]*_[A-Z0-9_]+?)(?:_?1…N)?`/g),
  ].map((name) => /^HF_(TOKEN_STORAGE|STORAGE_USERNAME)$/.test(name) ? `${name}_1` : name);
  assert.ok(used.length > 25, used.join());
  assert.deepEqual(used.filter((name) => !explained.has(name)), []);
  assert.match(await read("runner/space/compose.yaml"), /env_file: \.\.\/\.\.\/\.env\n/);
});

Deno.test("compose: a stop is waited for longer than the runner's own phases last, and PID 1 hands signals on", async () => {
  const compose = await Deno.readTextFile(new URL("compose.yaml", import.meta.url));
  const dockerfile = await Deno.readTextFile(new URL("Dockerfile", import.meta.url));
  const grace = Number(/stop_grace_period: (\d+)s/.exec(compose)![1]);
  const { stopSeconds } = parseEnv({
    SUPABASE_URL: "https://project.supabase.co",
    SUPABASE_SECRET_KEYS: '{"default":"k"}',
    HF_FILE_SALT: "salt-of-the-test",
  });
  assert.ok(grace > stopSeconds + 15, "uploads, then the last calls to the queue");
  assert.match(dockerfile, /apt-get install .*\btini\b/);
  assert.match(dockerfile, /\nENTRYPOINT \["tini", "--"\]\n/);
  assert.match(dockerfile, /\nHEALTHCHECK [^]*\/health/);
});

Deno.test("README front matter: only what the Hub's configuration reference knows, in the values it takes", async () => {
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

async function containerCommand(): Promise<string[]> {
  const text = await Deno.readTextFile(new URL("Dockerfile", import.meta.url));
  return JSON.parse(/^CMD (\[.*\])$/m.exec(text)![1]!);
}
