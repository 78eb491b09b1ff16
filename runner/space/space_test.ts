import assert from "node:assert/strict";
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

async function containerCommand(): Promise<string[]> {
  const text = await Deno.readTextFile(new URL("Dockerfile", import.meta.url));
  return JSON.parse(/^CMD (\[.*\])$/m.exec(text)![1]!);
}
