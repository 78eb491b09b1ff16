// `deno task ks providers` as a process.
import assert from "node:assert/strict";
import { runQuietly as run } from "./command_process.ts";
import { createOperatorFixture } from "./operator_fixture.ts";

Deno.test("ks providers: invalid entries → line and reason, exit code 1", async () => {
  await using set = await createOperatorFixture();
  await set.fixture.database.sql`delete from public.providers where true`;
  const list = await set.write(
    "list.json",
    '\ufeff[\r\n  {"name": "own", "recipe": "catalogue"},\r\n  {"name": "b", "recipe": "peertube", "base_url": "https://tube.test"}\r\n]\r\n',
  );
  const dry = await run("providers", ["apply", list, "--dry-run"], set.env);
  assert.deepEqual(dry, { code: 0, out: "+ own (catalogue)\n+ b (peertube)\n", err: "" });
  assert.equal((await set.fixture.database.sql`select from public.providers`).length, 0);
  assert.match((await run("providers", ["apply", list], set.env)).out, /^\+ own.*\n\+ b.*\napplied to http/);
  const printed = await run("providers", ["list"], set.env);
  assert.deepEqual(JSON.parse(printed.out).map((one: { name: string }) => one.name), ["own", "b"]);
  const again = await run("providers", ["apply", await set.write("again.json", printed.out)], set.env);
  assert.match(again.out, /already has this list\n$/);

  const bad = await set.write(
    "bad.json",
    '[\n  {"name": "own", "recipe": "catalogue"},\n  {"name": "own", "recipe": "magic"},\n  7\n]',
  );
  const refused = await run("providers", ["apply", bad], set.env);
  assert.deepEqual([refused.code, refused.out], [1, ""]);
  assert.deepEqual(refused.err.split("\n"), [
    `${bad}:3: own: recipe: must be one of catalogue, select-base64, admin-ajax, admin-ajax-nonce, internet-archive, peertube`,
    `${bad}:3: own: name: own is listed twice`,
    `${bad}:4: entry: Invalid input: expected object, received number`,
    "",
  ]);
  const cut = await set.write("cut.json", '[\n  {"name": "own",\n');
  assert.match((await run("providers", ["apply", cut], set.env)).err, /cut\.json:3: entry: not JSON: /);
  assert.equal((await set.fixture.database.sql`select from public.providers`).length, 2);
});
