// Commands that cannot run as typed.
import assert from "node:assert/strict";
import { NO_SYSTEM as none, runQuietly as run } from "./command_process.ts";
import { createOperatorFixture } from "./operator_fixture.ts";

Deno.test("ks: a command that cannot run → one line on stderr, exit code 2", async () => {
  await using set = await createOperatorFixture();
  await set.fixture.database.sql`select public.apply_providers('[{"name":"own","recipe":"catalogue"}]', false)`;
  const text = await set.write("text.json", "no list");
  const csv = await set.write("own.csv", "mal_id,episode,url\n1,1,https://own.test/1.mp4\n");
  const cases: readonly (readonly [string, readonly string[], Record<string, string>, RegExp])[] = [
    ["check", ["absent"], set.env, /^there is no provider absent; known: own\n$/],
    ["check", [], set.env, /^usage: deno task ks check/],
    ["check", ["own", "--title", "x"], set.env, /^usage/],
    ["check", ["own", "--episode", "0"], set.env, /^usage/],
    ["check", ["own", "--jsn"], set.env, /^Unknown option '--jsn'.*\nusage/s],
    ["check", ["own", "--file", "/nowhere.json"], set.env, /nowhere\.json/],
    ["check", ["own", "--file", text], set.env, /is not a JSON list of providers\n$/],
    ["check", ["own"], none, /^no system found/],
    [
      "check",
      ["own"],
      { ...set.env, SUPABASE_SECRET_KEYS: '{"default":"sb_secret_wrong"}' },
      /^the list cannot be read/,
    ],
    ["providers", ["apply"], set.env, /^usage:\n {2}deno task ks providers/],
    ["providers", ["apply", "/nowhere.json"], set.env, /nowhere\.json/],
    ["providers", ["apply", text, "--dryrun"], set.env, /^Unknown option '--dryrun'/],
    [
      "providers",
      ["list"],
      { SUPABASE_URL: "http://127.0.0.1:9", SUPABASE_SECRET_KEYS: '{"a":"b"}' },
      /does not answer\n$/,
    ],
    ["catalogue", ["import", csv, "--dry_run"], set.env, /^Unknown option '--dry_run'/],
    ["catalogue", ["export", csv], set.env, /^usage: deno task ks catalogue/],
    ["catalogue", ["import", csv, csv], set.env, /^unexpected argument .*own\.csv\nusage/],
    ["catalogue", ["import", "/tmp"], set.env, /^cannot read \/tmp: .*\n$/],
    ["providers", ["apply", "/tmp"], set.env, /^cannot read \/tmp: .*\n$/],
    [
      "catalogue",
      ["import", csv],
      { ...set.env, SUPABASE_SECRET_KEYS: "sb_secret_x" },
      /^SUPABASE_SECRET_KEYS must be JSON/,
    ],
  ];
  for (const [task, args, env, words] of cases) {
    const { code, out, err } = await run(task, args, env);
    assert.deepEqual([code, out], [2, ""], `${task} ${args.join(" ")}: ${err}`);
    assert.match(err, words);
    assert.doesNotMatch(err, /\bat .*\.ts/, "no stack trace");
  }
  assert.equal(
    (await set.fixture.database.sql`select from public.catalogue`).length,
    0,
    "a mistyped --dry-run writes nothing",
  );
});
