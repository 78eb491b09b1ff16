import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { type RunnerRig, startRunnerRig } from "../dev/runner_rig.ts";

Deno.test("runner: an MP4 and an HLS source end as verified fast-start MP4s on every account, ready in the queue", async () => {
  await using rig = await startRunnerRig();
  const runner = rig.spawn();
  const [mp4, hls] = await Promise.all(rig.origin.media.map(async (medium, i) =>
    await rig.enqueue({
      mal_id: 1,
      episode: i + 1,
      provider: "catalogue",
      video_url: await medium.url(),
      embed_url: medium.embedUrl,
      resolution: medium.resolution,
    })
  ));
  for (const id of [mp4!, hls!]) {
    const row = await rig.until(id, (row) => ["ready", "failed"].includes(row.status));
    assert.equal(row.status, "ready", row.error_message ?? "");
    await runner.saw("job:finished", (line) => line.id === id);
    const archive = await archiveOf(rig, id);
    assert.equal(archive.replicas.length, 2);
    for (const replica of archive.replicas) {
      assert.equal(replica.state, "verified");
      const bytes = await downloadCopy(rig, replica);
      assert.equal(createHash("sha256").update(bytes).digest("hex"), archive.sha256);
      const boxes = new TextDecoder("latin1").decode(bytes);
      assert.ok(boxes.indexOf("moov") < boxes.indexOf("mdat"), "moov stands in front");
    }
    assert.ok(Math.abs(archive.duration_seconds - 24) < 0.5);
  }
  runner.child.kill("SIGTERM");
  assert.equal((await runner.ended).code, 0);
  assert.ok(runner.lines.every((line) => !/hf_token|token=/.test(line)), "no secret in the log");
  const left = [...Deno.readDirSync(rig.workDir)];
  assert.deepEqual(left, []);
});

type Archive = {
  sha256: string;
  size_bytes: number;
  duration_seconds: number;
  replicas: { target: string; repo: string; path: string; state: string }[];
};

async function archiveOf(rig: RunnerRig, queueId: string): Promise<Archive> {
  const [row] = await rig.database.sql<Archive[]>`
    select sha256, size_bytes::float8 as size_bytes, duration_seconds,
      (select json_agg(r) from (select target, repo, path, state from public.video_replicas v where v.store_id = s.id) r) as replicas
    from public.video_store s where queue_id = ${queueId}`;
  return row!;
}

async function downloadCopy(rig: RunnerRig, replica: { repo: string; path: string }): Promise<Uint8Array> {
  const owner = replica.repo.split("/")[0]!;
  const response = await fetch(`${rig.hub.url}/datasets/${replica.repo}/resolve/main/${replica.path}`, {
    headers: { authorization: `Bearer hf_token${owner.slice("user".length)}` },
  });
  assert.equal(response.status, 200);
  return await response.bytes();
}
