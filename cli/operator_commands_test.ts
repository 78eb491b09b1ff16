// Commands against the operator API with the real gateway and database.
import assert from "node:assert/strict";
import { catalogueCommand } from "./catalogue.ts";
import { CommandError } from "./command_line.ts";
import { createOperatorFixture } from "./operator_fixture.ts";
import { providerDifference } from "./provider_difference.ts";
import { providersCommand } from "./providers.ts";
import { videosCommand } from "./videos.ts";

/** Exit code and output of a command, both streams together, without the line that names the system. */
async function printed(command: () => Promise<number>): Promise<readonly [number, string]> {
  const lines: string[] = [];
  const { log, error } = console;
  console.log = console.error = (line: unknown) => void lines.push(String(line));
  try {
    return [await command(), lines.filter((line) => !line.startsWith("target: ")).join("\n")];
  } finally {
    Object.assign(console, { log, error });
  }
}

Deno.test("providers apply: new list → difference applied; again → no change", async () => {
  await using set = await createOperatorFixture();
  await set.fixture.database.sql`delete from public.providers`;
  const file = new URL("../providers.example.json", import.meta.url).pathname;
  const [code, text] = await printed(() => providersCommand(["apply", file, "--dry-run"], set.fixture.env));
  assert.deepEqual([code, text], [
    0,
    "+ catalogue (catalogue)\n+ animasu (select-base64, switched off)\n+ samehadaku (admin-ajax, switched off)",
  ]);
  assert.equal((await set.fixture.database.sql`select from public.providers`).length, 0);
  assert.match((await printed(() => providersCommand(["apply", file], set.fixture.env)))[1], /applied to http/);
  const rows = await set.fixture.database.sql`select name, enabled from public.providers order by position`;
  assert.deepEqual(rows.map((row) => [row.name, row.enabled]), [["catalogue", true], ["animasu", false], [
    "samehadaku",
    false,
  ]]);
  assert.match((await printed(() => providersCommand(["apply", file], set.fixture.env)))[1], /already has this list/);
});

Deno.test("videos: list as table and JSON, counts, retry and cancel", async () => {
  await using set = await createOperatorFixture();
  const { serviceRole: sql } = set.fixture.database;
  const run = (...args: string[]) => printed(() => videosCommand(args, set.fixture.env));
  assert.deepEqual(await run(), [0, "no video"]);
  await sql`insert into public.providers (name, recipe, rights) values ('catalogue', 'page', 'own work')`;
  await sql`select public.enqueue_video(7, 1, 'catalogue', 'https://own.test/1.mp4', '720p')`;
  await sql`select public.enqueue_video(7, 2, 'catalogue', 'https://own.test/2.mp4', null)`;
  const [first] = await sql`select * from public.claim_pending_videos(1, 'test')`;
  const progress = sql.json({ phase: "downloading", bytes_done: 25, bytes_total: 100 });
  await sql`select public.extend_video_lease(array[${first!.id}]::uuid[], array[${first!.lease_token}]::uuid[], 60,
    jsonb_build_object(${first!.id}::text, ${progress}::jsonb))`;
  const [, running] = await run("--status", "downloading");
  assert.match(
    running,
    new RegExp(`^id +episode +provider +res +state .*\n${first!.id}  7/1 +catalogue +720p +downloading 25 %  1$`),
  );
  await sql`select public.update_video_queue_status(${first!.id}, 'failed', ${"no \u001b[31mvideo"}, ${
    first!.lease_token
  }, 'unsupported')`;
  const [code, failed] = await run("--status", "failed", "--title", "7", "--json");
  assert.equal(code, 0);
  assert.deepEqual(JSON.parse(failed).map((video: { id: string }) => video.id), [first!.id]);
  assert.match((await run("--status", "failed"))[1], /dead +1 +unsupported: no  ?\[31mvideo$/);
  assert.match((await run("counts"))[1], /^dead +1$/m);
  assert.match(
    (await run("counts"))[1],
    /^notification +failed runner_url or runner_webhook_secret is missing .* \(2.*\)$/m,
  );
  assert.deepEqual(await run("retry", first!.id), [0, "retried        1"]);
  await assert.rejects(run("retry", first!.id), /no failed video with this id/);
  assert.deepEqual(await run("cancel", first!.id), [0, "cancelled      1"]);
  await assert.rejects(run("cancel"), CommandError);
  await assert.rejects(run("--limit", "many"), /--limit must be a whole number from 1 to 1000000, not many/);
  await assert.rejects(run("--status", "nonsense"), /is invalid/);
  await assert.rejects(run("--nonsense"), CommandError);
});

Deno.test("videos: --limit above the page size of the API → every video once", async () => {
  await using set = await createOperatorFixture();
  await set.fixture.database.sql`
    insert into public.video_queue (mal_id, episode, provider, video_url)
    select 7, n, 'own', 'https://own.test/' from generate_series(1, 1203) n`;
  const list = async (limit: string) =>
    JSON.parse((await printed(() => videosCommand(["--json", "--limit", limit], set.fixture.env)))[1]) as {
      id: string;
    }[];
  assert.equal(new Set((await list("5000")).map((video) => video.id)).size, 1203);
  assert.equal((await list("501")).length, 501);
});

Deno.test("commands: no system → CommandError", async () => {
  const file = new URL("../providers.example.json", import.meta.url).pathname;
  const empty = await Deno.makeTempDir();
  await assert.rejects(providersCommand(["apply", file], { KEEPSTREAM_DATA_DIR: empty }), CommandError);
  await assert.rejects(providersCommand(["fly"], {}), CommandError);
  await assert.rejects(catalogueCommand([], {}), CommandError);
  await Deno.remove(empty);
});

Deno.test("providerDifference: fields, removals, order; not the order of keys", () => {
  const entry = {
    name: "a",
    recipe: "catalogue",
    base_url: null,
    rights: null,
    enabled: true,
    config: { x: 1, y: 2 },
    position: 0,
  };
  assert.deepEqual(providerDifference([{ ...entry, config: { y: 2, x: 1 } }], [entry]), []);
  assert.deepEqual(providerDifference([{ ...entry, rights: "own" }, { ...entry, name: "b" }], [entry]), [
    '~ a.rights: "own" → null',
    "- b",
  ]);
  assert.deepEqual(providerDifference([{ ...entry, name: "b" }, entry], [entry, { ...entry, name: "b" }]), [
    "~ order: b, a → a, b",
  ]);
});
