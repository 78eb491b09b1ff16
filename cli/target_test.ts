// Which system a command works on, and that no command changes one that is not on this machine unasked.
import assert from "node:assert/strict";
import { CommandError } from "./command_line.ts";
import { createOperatorFixture } from "./operator_fixture.ts";
import { confirmChange, findTarget, PROJECT, PROJECT_AND_STORAGE } from "./target.ts";

const ROOT = new URL("..", import.meta.url).pathname;
const KEYS = '{"default":"sb_secret_of_the_test"}';
/** Nothing answers there, and it is not on this machine. */
const REMOTE = { SUPABASE_URL: "http://project.invalid", SUPABASE_SECRET_KEYS: KEYS };

interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

const PROGRAMS: Readonly<Record<string, readonly string[]>> = {
  storage: ["cli/with_dev_env.ts", "runner/archive/main.ts"],
  sign: ["cli/sign_link.ts"],
  "provider:check": ["cli/provider_check.ts"],
};

async function run(task: string, args: readonly string[], env: Readonly<Record<string, string>>): Promise<Ended> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "-A", ...PROGRAMS[task] ?? [`cli/${task}.ts`], ...args],
    cwd: ROOT,
    clearEnv: true,
    env: { PATH: Deno.env.get("PATH")!, HOME: Deno.env.get("HOME")!, ...env },
    stdin: "null",
  }).output();
  const text = new TextDecoder();
  return { code, out: text.decode(stdout), err: text.decode(stderr) };
}

Deno.test("every command: SUPABASE_URL without a key → an error, not the local system", async () => {
  await using set = await createOperatorFixture();
  const csv = await set.write("own.csv", "mal_id,episode,url\n1,1,https://own.test/1.mp4\n");
  const list = await set.write("list.json", "[]");
  const commands = [
    ["videos", []],
    ["videos", ["retry"]],
    ["catalogue", ["import", csv]],
    ["providers", ["apply", list]],
    ["providers", ["list"]],
    ["provider:check", ["own"]],
    ["storage", ["health"]],
    ["storage", ["takedown", "1"]],
    ["sign", ["https://cdn.test/a"]],
  ] as const;
  await Promise.all(commands.map(async ([task, args]) => {
    const { code, out, err } = await run(task, args, { SUPABASE_URL: "https://project.test" });
    assert.deepEqual([code, out], [2, ""], `${task}: ${err}`);
    assert.match(err, /^half an environment: the environment has SUPABASE_URL, but not /, task);
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
    ["no URL at all", { ...REMOTE, SUPABASE_URL: "project" }, /SUPABASE_URL is not an address: project/],
    ["a placeholder for the project", { ...REMOTE, SUPABASE_URL: "https://<ref>.supabase.co" }, /placeholder <ref>/],
    [
      "a placeholder for the key",
      { ...REMOTE, SUPABASE_SECRET_KEYS: '{"default":"sb_secret_…"}' },
      /SUPABASE_SECRET_KEYS still holds the placeholder …/,
    ],
  ] as const
) {
  Deno.test(`findTarget: ${what} → an error that names it`, async () => {
    await assert.rejects(
      findTarget(env, PROJECT),
      (error) => error instanceof CommandError && message.test(error.message),
    );
  });
}

Deno.test("findTarget: a storage token of the shell without a project → an error", async () => {
  await assert.rejects(
    findTarget({ HF_TOKEN_STORAGE_1: "hf_a" }, PROJECT_AND_STORAGE),
    /has HF_TOKEN_STORAGE_1, but not/,
  );
});

Deno.test("findTarget --env-file: nothing of the shell's project is mixed in", async () => {
  const file = await Deno.makeTempFile();
  await Deno.writeTextFile(file, `SUPABASE_URL=https://file.test\nSUPABASE_SECRET_KEYS=${KEYS}\n`);
  const shell = { SUPABASE_URL: "https://shell.test", SUPABASE_SERVICE_ROLE_KEY: "eyJ", S3_BUCKET: "b", PATH: "/bin" };
  const { address, from, local, env } = await findTarget(shell, { ...PROJECT_AND_STORAGE, envFile: file });
  assert.deepEqual([address, from, local], ["https://file.test", file, false]);
  assert.deepEqual({ ...env }, { PATH: "/bin", SUPABASE_URL: "https://file.test", SUPABASE_SECRET_KEYS: KEYS });
  await Deno.writeTextFile(file, "SUPABASE_URL=https://file.test\n");
  await assert.rejects(findTarget(shell, { ...PROJECT, envFile: file }), /half an environment/);
  await Deno.remove(file);
  await assert.rejects(findTarget(shell, { ...PROJECT, envFile: file }), /^CommandError: cannot read /);
});

Deno.test("a change to another machine's system, no terminal, no --yes → exit code 2, nothing is asked of it", async () => {
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
      `not a terminal, so nobody can be asked whether to ${what} (http://project.invalid): repeat with --yes`,
      "",
    ]]);
  }));
  // With --yes it is tried, and what only reads needs none.
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

Deno.test("providers apply: an empty list → asks even on this machine; --yes removes all", async () => {
  await using set = await createOperatorFixture();
  const { sql } = set.fixture.database;
  await sql`select public.apply_providers('[{"name":"own","recipe":"catalogue"}]', false)`;
  const empty = await set.write("empty.json", "[]");
  const refused = await run("providers", ["apply", empty], set.env);
  assert.deepEqual([refused.code, refused.out], [2, "- own\n"]);
  assert.match(refused.err, /whether to remove every provider \(1\) .*: repeat with --yes\n$/);
  assert.equal((await sql`select from public.providers`).length, 1);
  assert.equal((await run("providers", ["apply", empty, "--yes"], set.env)).code, 0);
  assert.equal((await sql`select from public.providers`).length, 0);
});

Deno.test("confirmChange in a terminal: anything but y → nothing is changed", async () => {
  const program = `${ROOT}cli/target.ts`;
  const code = `import { confirmChange } from "${program}";
    try { confirmChange({ address: "https://p.test", local: false }, { what: "cancel it", yes: false }); console.log("DONE"); }
    catch (error) { console.log(error.message); }`;
  const file = await Deno.makeTempFile({ suffix: ".ts" });
  await Deno.writeTextFile(file, code);
  const answer = async (text: string) => {
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
  assert.match(await answer("y\n"), /Cancel it \(https:\/\/p\.test\)\?[\s\S]*DONE/);
  assert.match(await answer("n\n"), /nothing was changed/);
  await Deno.remove(file);
});

Deno.test("confirmChange: the system of this machine is changed unasked", () => {
  confirmChange({ address: "http://127.0.0.1:54321", local: true }, { what: "cancel it", yes: false });
});
