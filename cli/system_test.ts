// Selection of the system, and confirmation of changes to one that is not on this machine.
import assert from "node:assert/strict";
import { CommandError } from "./command_line.ts";
import { runKs as run } from "./command_process.ts";
import { createOperatorFixture } from "./operator_fixture.ts";
import { confirmChange, findSystem, PROJECT, PROJECT_AND_STORAGE } from "./system.ts";

const ROOT = new URL("..", import.meta.url).pathname;
const KEYS = '{"default":"sb_secret_of_the_test"}';
/** Not on this machine, and unreachable. */
const REMOTE = { SUPABASE_URL: "http://project.invalid", SUPABASE_SECRET_KEYS: KEYS };

Deno.test("ks: SUPABASE_URL without a key → an error, not the local system", async () => {
  await using set = await createOperatorFixture();
  const csv = await set.write("own.csv", "mal_id,episode,url\n1,1,https://own.test/1.mp4\n");
  const list = await set.write("list.json", "[]");
  const commands = [
    ["videos", []],
    ["videos", ["retry"]],
    ["catalogue", ["import", csv]],
    ["providers", ["apply", list]],
    ["providers", ["list"]],
    ["check", ["own"]],
    ["storage", ["health"]],
    ["storage", ["takedown", "1"]],
    ["sign", ["https://cdn.test/a"]],
  ] as const;
  await Promise.all(commands.map(async ([task, args]) => {
    const { code, out, err } = await run(task, args, { SUPABASE_URL: "https://project.test" });
    assert.deepEqual([code, out], [2, ""], `${task}: ${err}`);
    assert.match(err, /^incomplete environment: the environment has SUPABASE_URL, but not /, task);
  }));
});

for (
  const [what, env, message] of [
    [
      "a URL with an empty key",
      { SUPABASE_URL: "https://p.test", SUPABASE_SECRET_KEYS: "" },
      /not SUPABASE_SECRET_KEYS or/,
    ],
    ["keys alone", { SUPABASE_SECRET_KEYS: KEYS }, /has SUPABASE_SECRET_KEYS, but not SUPABASE_URL/],
    ["the legacy key alone", { SUPABASE_SERVICE_ROLE_KEY: "eyJ" }, /but not SUPABASE_URL/],
    ["an empty URL", { SUPABASE_URL: "", SUPABASE_SECRET_KEYS: KEYS }, /but not SUPABASE_URL/],
    ["no URL at all", { ...REMOTE, SUPABASE_URL: "project" }, /SUPABASE_URL is not a URL: project/],
    ["a placeholder for the project", { ...REMOTE, SUPABASE_URL: "https://<ref>.supabase.co" }, /placeholder <ref>/],
    [
      "a placeholder for the key",
      { ...REMOTE, SUPABASE_SECRET_KEYS: '{"default":"sb_secret_…"}' },
      /SUPABASE_SECRET_KEYS still contains the placeholder …/,
    ],
  ] as const
) {
  Deno.test(`findSystem: ${what} → an error that names it`, async () => {
    await assert.rejects(
      findSystem(env, PROJECT),
      (error) => error instanceof CommandError && message.test(error.message),
    );
  });
}

Deno.test("findSystem: a storage token without a project → an error", async () => {
  await assert.rejects(
    findSystem({ HF_TOKEN_STORAGE_1: "hf_a" }, PROJECT_AND_STORAGE),
    /has HF_TOKEN_STORAGE_1, but not/,
  );
});

Deno.test("findSystem: --env-file → the shell's project variables are ignored", async () => {
  const file = await Deno.makeTempFile();
  await Deno.writeTextFile(file, `SUPABASE_URL=https://file.test\nSUPABASE_SECRET_KEYS=${KEYS}\n`);
  const shell = { SUPABASE_URL: "https://shell.test", SUPABASE_SERVICE_ROLE_KEY: "eyJ", S3_BUCKET: "b", PATH: "/bin" };
  const { url, from, isLocal, env } = await findSystem(shell, { ...PROJECT_AND_STORAGE, envFile: file });
  assert.deepEqual([url, from, isLocal], ["https://file.test", file, false]);
  assert.deepEqual({ ...env }, { PATH: "/bin", SUPABASE_URL: "https://file.test", SUPABASE_SECRET_KEYS: KEYS });
  await Deno.writeTextFile(file, "SUPABASE_URL=https://file.test\n");
  await assert.rejects(findSystem(shell, { ...PROJECT, envFile: file }), /incomplete environment/);
  await Deno.remove(file);
  await assert.rejects(findSystem(shell, { ...PROJECT, envFile: file }), /^CommandError: cannot read /);
});

Deno.test("ks: a change to a remote system, no terminal, no --yes → exit code 2", async () => {
  const dir = await Deno.makeTempDir();
  const csv = `${dir}/own.csv`;
  await Deno.writeTextFile(csv, "mal_id,episode,url\n1,1,https://own.test/1.mp4\n");
  const id = crypto.randomUUID();
  const commands = [
    ["videos", ["retry"], "retry every failed video"],
    ["videos", ["cancel", id, "--json"], `cancel video ${id}`],
    ["catalogue", ["import", csv], "write 1 entries"],
    ["storage", ["repair"], "run storage repair"],
    ["storage", ["verify", "--share", "0.1"], "run storage verify --share 0.1"],
    ["storage", ["takedown", "7"], "run storage takedown 7"],
    ["storage", ["lift", "7"], "run storage lift 7"],
  ] as const;
  await Promise.all(commands.map(async ([task, args, what]) => {
    const { code, out, err } = await run(task, args, REMOTE);
    assert.deepEqual([code, out, err.split("\n")], [2, "", [
      "target: http://project.invalid (the environment)",
      `not a terminal, so there is no prompt for "${what}" (http://project.invalid): repeat with --yes`,
      "",
    ]]);
  }));
  // --yes confirms; commands that only read need no confirmation.
  for (
    const [task, args] of [["videos", ["retry", "--yes"]], ["videos", ["counts"]], ["catalogue", [
      "import",
      csv,
      "--dry-run",
    ]]] as const
  ) {
    assert.match((await run(task, args, REMOTE)).err, /project\.invalid\/functions\/v1\/archive does not answer\n$/);
  }
  await Deno.remove(dir, { recursive: true });
});

Deno.test("providers apply: an empty list → confirmed even locally", async () => {
  await using set = await createOperatorFixture();
  const { sql } = set.fixture.database;
  await sql`select public.apply_providers('[{"name":"own","recipe":"catalogue"}]', false)`;
  const empty = await set.write("empty.json", "[]");
  const refused = await run("providers", ["apply", empty], set.env);
  assert.deepEqual([refused.code, refused.out], [2, "- own\n"]);
  assert.match(refused.err, /prompt for "remove every provider \(1\)" .*: repeat with --yes\n$/);
  assert.equal((await sql`select from public.providers`).length, 1);
  assert.equal((await run("providers", ["apply", empty, "--yes"], set.env)).code, 0);
  assert.equal((await sql`select from public.providers`).length, 0);
});

Deno.test("confirmChange: in a terminal, anything but y → refused", async () => {
  const program = `${ROOT}cli/system.ts`;
  const code = `import { confirmChange } from "${program}";
    try { confirmChange({ url: "https://p.test", isLocal: false }, { what: "cancel it", yes: false }); console.log("DONE"); }
    catch (error) { console.log(error.message); }`;
  const file = await Deno.makeTempFile({ suffix: ".ts" });
  await Deno.writeTextFile(file, code);
  const outputFor = async (text: string) => {
    const child = new Deno.Command("script", {
      args: ["-qec", `${Deno.execPath()} run -A --quiet --config ${ROOT}deno.json --no-check ${file}`, "/dev/null"],
      stdin: "piped",
      stdout: "piped",
      stderr: "null",
    }).spawn();
    const writer = child.stdin.getWriter();
    await writer.write(new TextEncoder().encode(text));
    const { stdout } = await child.output().finally(() => writer.close().catch(() => {}));
    return new TextDecoder().decode(stdout);
  };
  assert.match(await outputFor("y\n"), /Cancel it \(https:\/\/p\.test\)\?[\s\S]*DONE/);
  assert.match(await outputFor("n\n"), /nothing was changed/);
  await Deno.remove(file);
});

Deno.test("confirmChange: a local system → no confirmation", () => {
  confirmChange({ url: "http://127.0.0.1:54321", isLocal: true }, { what: "cancel it", yes: false });
});
