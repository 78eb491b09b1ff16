/** Withdrawn rights apply to jobs in progress, too: nothing more is archived, and jobs do not wait again. */
import assert from "node:assert/strict";
import { declaredRights } from "../../../core/rights.ts";
import { brokenInvariants } from "../model/invariants.ts";
import type { QueueFixture, Scenario } from "../fixture/queue_fixture.ts";
import { archiveOf, outcome } from "../fixture/rpc.ts";

const declare = (queue: QueueFixture, rights: string | null) =>
  queue.rpc("apply_providers", { entries: [{ name: "animasu", recipe: "page", rights }], dry_run: false });

async function assertDenied(queue: QueueFixture, id: unknown, message = ""): Promise<void> {
  const row = await queue.row(id);
  assert.deepEqual(
    [row["status"], row["error_class"], row["terminal_at"] !== null, row["lease_token"], row["candidates"]],
    ["failed", "policy_denied", true, null, null],
    message,
  );
  assert.match(String(row["error_message"]), /^no archiving rights are declared/);
}

/** Every character without a visible glyph, by V8's tables. */
const INVISIBLE = Array.from({ length: 0x10ffff }, (_, n) => n + 1)
  .filter((n) => n < 0xd800 || n > 0xdfff)
  .map((n) => String.fromCodePoint(n))
  .filter((char) => declaredRights(char) === null);

export const RIGHTS: readonly Scenario[] = [
  {
    name: "rights: invisible characters → none, same list in SQL and TS",
    async run(queue) {
      for (
        const char of [
          "\t",
          "\n",
          "\u00a0",
          "\u200b",
          "\ufeff",
          "\u00ad",
          "\u2060",
          "\u3164",
          "\u202e",
          "\u061c",
          "\u{e0041}",
          "\u{1d159}",
          "\u{13441}",
          "\u{16fe4}",
          "\ufffc",
          "\uffff",
        ]
      ) {
        assert.ok(INVISIBLE.includes(char), `U+${char.codePointAt(0)!.toString(16)}`);
      }
      assert.ok(INVISIBLE.length > 4000 && INVISIBLE.length < 5000, `${INVISIBLE.length}`);
      const [row] = await queue.sql`
        select array(select n from generate_series(1, 1114111) n where (n < 55296 or n > 57343)
          and keepstream.declared_rights(chr(n)) is null) as invisible`;
      assert.deepEqual(row!["invisible"], INVISIBLE.map((char) => char.codePointAt(0)));
      for (const text of [" own work", "\u200bCC BY 4.0\u00a0", "自作", "©", "\u3164x\u3164"]) {
        const [declared] = await queue.sql`select keepstream.declared_rights(${text}) as rights`;
        assert.equal(declared!["rights"], declaredRights(text));
        assert.equal(declaredRights(text), text.replaceAll(/[ \u200b\u00a0\u3164]+$|^[ \u200b\u3164]+/g, ""));
      }
    },
  },
  {
    name: "invisible rights of provider or catalogue → not enqueued",
    async run(queue) {
      const blank = "\t\n\u00a0\u200b\ufeff\u00ad\u2060\u3164\u202e";
      const video = { provider: "animasu", video_url: "https://a.test/v.mp4" };
      await declare(queue, blank);
      const [provider] = await queue.sql`select rights from public.providers`;
      assert.equal(provider!["rights"], null);
      assert.equal(await queue.refusal("enqueue_video", { mal_id: 1, episode: 1, ...video }), "PT403");
      await declare(queue, `\u200b own work\n`);
      const job = await queue.enqueue();
      await queue.sql`update public.providers set rights = ${blank} where true`;
      assert.equal(await queue.refusal("enqueue_video", { mal_id: 1, episode: 1, ...video }), "PT403");
      await queue.rpc("sweep");
      await assertDenied(queue, job["id"]);
      await queue.rpc("apply_providers", { entries: [{ name: "animasu", recipe: "catalogue" }], dry_run: false });
      const entry = { mal_id: 1, episode: 1, sources: [] };
      await queue.rpc("import_catalogue", { entries: [{ ...entry, rights: blank }], dry_run: false });
      assert.equal(await queue.refusal("enqueue_video", { mal_id: 1, episode: 1, ...video }), "PT403");
      await queue.sql`update public.catalogue set rights = ${blank} where true`;
      assert.equal(await queue.refusal("enqueue_video", { mal_id: 1, episode: 1, ...video }), "PT403");
      await queue.rpc("import_catalogue", { entries: [{ ...entry, rights: `${blank}own work` }], dry_run: false });
      assert.equal((await queue.enqueue({ mal_id: 1, episode: 1 }))["status"], "pending");
    },
  },
  {
    name: "rights withdrawn from a leased job → archive 403, dead letter",
    async run(queue) {
      const uploading = await queue.uploading();
      const downloaded = await queue.downloading();
      const failing = await queue.downloading();
      const released = await queue.downloading();
      const taken = await queue.downloading();
      const ended = await queue.downloading();
      const dying = await queue.downloading();
      await declare(queue, null);
      assert.equal(await queue.refusal("upsert_video_store", archiveOf(uploading)), "PT403");
      await queue.update(uploading, "failed", { error_class: "unknown" });
      assert.equal((await queue.update(downloaded, "uploading"))["status"], "failed", "and uploading is refused");
      await queue.update(failing, "failed", { error_class: "network", error: "reset" });
      await queue.update(released, "pending");
      await queue.sql`update public.video_queue set status = 'pending' where id = ${taken.id}`;
      await queue.sql`update public.video_queue set status = 'failed' where id = ${ended.id}`;
      await queue.travel(121);
      await queue.sql`update keepstream.rights_review set changed_at = now() - interval '1 hour' where true`;
      await queue.rpc("sweep");
      for (const { id } of [uploading, downloaded, failing, released, taken, ended, dying]) {
        await assertDenied(queue, id);
      }
      assert.equal((await queue.events(dying.id)).at(-1), "rescued");
      await queue.travel(100_000);
      assert.equal((await queue.claim(50)).length, 0);
      assert.deepEqual(await brokenInvariants(queue.sql), []);
    },
  },
  {
    name: "rights withdrawn from 5001 jobs → 5000 end, the sweep ends the rest",
    async run(queue) {
      await queue.sql`
        select public.enqueue_video(n, 1, 'animasu', 'https://a.test/' || n, '720p') from generate_series(1, 5010) n`;
      const waiting = async () =>
        (await queue.sql`select count(*)::int as count from public.video_queue where status = 'pending'`)[0]!["count"];
      await declare(queue, null);
      assert.equal(await waiting(), 10);
      await queue.rpc("sweep");
      assert.equal(await waiting(), 0);
    },
  },
  {
    name: "retry_videos or UPDATE without rights → not revived",
    async run(queue) {
      const job = await queue.enqueue();
      const retry = async (args = {}) => (await queue.rpc("retry_videos", args))[0]!["retry_videos"];
      await declare(queue, null);
      assert.equal(await retry(), 0);
      assert.equal(await retry({ ids: [job["id"]] }), 0);
      await queue.database
        .serviceRole`update public.video_queue set status = 'pending', retry_count = 0 where status = 'failed'`;
      await assertDenied(queue, job["id"]);
      assert.deepEqual(await brokenInvariants(queue.sql), []);
      await declare(queue, "own work");
      assert.equal(await retry(), 1);
      assert.equal((await queue.claimOne()).id, job["id"]);
    },
  },
  {
    name: "ready video without rights → no re-archive; lost → dead letter",
    async run(queue) {
      const { job } = await queue.archived();
      await declare(queue, null);
      const again = queue.sql`update public.video_queue set status = 'pending' where id = ${job.id}`;
      assert.equal(await outcome(again), "PT403");
      assert.equal((await queue.row(job.id))["status"], "ready");
      assert.equal((await queue.sql`select from public.video_store`).length, 1);
      await queue.sql`delete from public.video_store where true`;
      await assertDenied(queue, job.id);
      assert.deepEqual(await brokenInvariants(queue.sql), []);
    },
  },
  {
    name: "enqueue during a withdrawal, entry edited by hand → next sweep",
    async run(queue) {
      const other = queue.connect("postgres");
      await other`begin`;
      const [late] = await other`select (public.enqueue_video(1, 1, 'animasu', 'https://a.test/')).id`;
      await declare(queue, null);
      await other`commit`;
      assert.equal((await queue.row(late!["id"]))["status"], "pending");
      await queue.rpc("sweep");
      await assertDenied(queue, late!["id"]);
      await declare(queue, "own work");
      const job = await queue.enqueue();
      await queue.sql`
        insert into public.providers (name, recipe) values ('catalogue', 'catalogue');
        insert into public.catalogue (mal_id, episode, sources, rights)
        values (1, 2, '[]', 'CC BY'), (1, 3, '[]', null), (2, 2, '[]', null)`.simple();
      const listed = await queue.enqueue({ mal_id: 1, episode: 2, provider: "catalogue" });
      const reviewed = () =>
        queue.sql`update keepstream.rights_review set changed_at = now() - interval '1 hour' where true`;
      await reviewed();
      await queue.database.serviceRole`update public.providers set rights = ' ' where name = 'animasu'`;
      await queue.rpc("sweep");
      await assertDenied(queue, job["id"]);
      assert.equal(
        (await queue.row(listed["id"]))["status"],
        "pending",
        "another entry's missing rights do not matter",
      );
      await reviewed();
      await queue.database.serviceRole`update public.catalogue set rights = null where true`;
      await queue.rpc("sweep");
      await assertDenied(queue, listed["id"]);
    },
  },
];
