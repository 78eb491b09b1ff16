/** Users, organisations, Spaces and state of the hub, by @huggingface/hub, or by plain fetch for what the client has no call. */
import * as client from "@huggingface/hub";
import assert from "node:assert/strict";
import { ALICE, as, BOB, bytes, PATH, REPO, statusOf, upload, withHub } from "./conformance_fixture.ts";
import { startHub } from "./hub.ts";

Deno.test("whoAmI: a token → its user; an unknown token → 401", () =>
  withHub(async (hub) => {
    const me = await client.whoAmI(as(hub));
    assert.equal(me.name, "alice");
    assert.equal(me.auth.accessToken?.role, "write");
    assert.equal(await statusOf(client.whoAmI({ hubUrl: hub.url, accessToken: "hf_nobody" })), 401);
  }));

Deno.test("listDatasets: private repositories → their owner only, in pages", () =>
  withHub(async (hub) => {
    for (let title = 1; title <= 5; title++) {
      const repo = { type: "dataset", name: `alice/archive-${title}` } as const;
      await client.createRepo({ ...as(hub), repo, visibility: title === 5 ? "public" : "private" });
    }
    const names = async (user: typeof ALICE) => {
      const found: string[] = [];
      for await (const entry of client.listDatasets({ ...as(hub, user), search: { owner: "alice" } })) {
        found.push(entry.name);
      }
      return found.sort();
    };
    assert.equal((await names(ALICE)).length, 5);
    assert.deepEqual(await names(BOB), ["alice/archive-5"]);
    const first = await fetch(`${hub.url}/api/datasets?author=alice&limit=2`, {
      headers: { authorization: "Bearer hf_alice" },
    });
    assert.equal((await first.json()).length, 2);
    assert.match(first.headers.get("link") ?? "", /^<.*cursor=2.*>; rel="next"$/);
  }));

Deno.test("settings/repositories: two repositories → bytes of each", () =>
  withHub(async (hub) => {
    await upload(hub, bytes(70_000));
    const response = await fetch(`${hub.url}/api/settings/repositories`, {
      headers: { authorization: "Bearer hf_alice" },
    });
    const [entry] = await response.json();
    assert.equal(entry.id, "alice/archive-1");
    assert.equal(entry.storage, 70_000);
    assert.equal(entry.visibility, "private");
  }));

Deno.test("rate limit: in every response; exceeded → 429 until the window ends", async () => {
  let now = 1_700_000_000;
  await withHub(async (hub) => {
    const request = () => fetch(`${hub.url}/api/whoami-v2`, { headers: { authorization: "Bearer hf_alice" } });
    const statuses: number[] = [];
    const remaining: string[] = [];
    for (let call = 0; call < 3; call++) {
      const response = await request();
      await response.body?.cancel();
      statuses.push(response.status);
      remaining.push(response.headers.get("ratelimit") ?? "");
    }
    assert.deepEqual(statuses, [200, 200, 429]);
    assert.deepEqual(remaining, ['"api";r=1;t=60', '"api";r=0;t=60', '"api";r=0;t=60']);
    now += 60;
    const later = await request();
    await later.body?.cancel();
    assert.equal(later.status, 200);
  }, { now: () => now, rateLimits: { api: 2, resolvers: 2, windowSeconds: 60 } });
});

Deno.test("restart: same directory → repositories, commits and bytes are there", async () => {
  const dir = await Deno.makeTempDir({ prefix: "hub-test-" });
  const first = await startHub({ dir, users: [ALICE] });
  const data = bytes(40_000);
  await upload(first, data);
  await first.stop();
  const second = await startHub({ dir, users: [ALICE] });
  const blob = await client.downloadFile({ ...as(second), repo: REPO, path: PATH });
  assert.deepEqual(new Uint8Array(await blob!.arrayBuffer()), data);
  await second.stop();
  await Deno.remove(dir, { recursive: true });
});

Deno.test("Space: secrets → write-only; variables → shown; pause → owner only", () =>
  withHub(async (hub) => {
    const repo = { type: "space", name: "alice/runner" } as const;
    await client.createRepo({ ...as(hub), repo, sdk: "docker", visibility: "private" });
    const request = async (method: string, path: string, body?: unknown, user = ALICE) => {
      const response = await fetch(`${hub.url}/api/spaces/alice/runner/${path}`, {
        method,
        headers: { authorization: `Bearer ${user.token}`, "content-type": "application/json" },
        body: body === undefined ? undefined : JSON.stringify(body),
      });
      return { status: response.status, body: await response.json() };
    };
    await request("POST", "secrets", { key: "HF_FILE_SALT", value: "salt" });
    await request("POST", "variables", { key: "PORT", value: "7860" });
    const secrets = await request("GET", "secrets");
    assert.deepEqual(Object.keys(secrets.body), ["HF_FILE_SALT"]);
    assert.doesNotMatch(JSON.stringify(secrets.body), /"salt"/);
    assert.equal((await request("GET", "variables")).body.PORT.value, "7860");
    assert.equal((await request("POST", "pause")).body.stage, "PAUSED");
    assert.equal((await request("POST", "restart")).body.stage, "RUNNING");
    assert.equal((await request("POST", "sleeptime", { seconds: 3600 })).body.gcTimeout, 3600);
    assert.equal((await request("GET", "runtime")).body.stage, "RUNNING");
    await request("DELETE", "secrets", { key: "HF_FILE_SALT" });
    assert.deepEqual((await request("GET", "secrets")).body, {});
    assert.equal((await request("POST", "pause", undefined, BOB)).status, 404);
  }));

Deno.test("organisation: its repositories → for its members only", () =>
  withHub(async (hub) => {
    const member = hub.user("alice");
    Object.assign(member, { orgs: ["studio"] });
    const me = await client.whoAmI(as(hub));
    assert.ok(me.type === "user");
    assert.deepEqual(me.orgs.map((org) => org.name), ["studio"]);
    const repo = { type: "dataset", name: "studio/archive-1" } as const;
    await client.createRepo({ ...as(hub), repo, visibility: "private" });
    assert.equal(await statusOf(client.createRepo({ ...as(hub, BOB), repo })), 403);
    const data = bytes(20_000);
    await client.uploadFile({ ...as(hub), repo, file: { path: PATH, content: new Blob([data]) }, useXet: false });
    assert.equal(await client.fileExists({ ...as(hub), repo, path: PATH }), true);
    assert.equal(await client.repoExists({ ...as(hub, BOB), repo }), false);
    const names = [];
    for await (const entry of client.listDatasets({ ...as(hub), search: { owner: "studio" } })) names.push(entry.name);
    assert.deepEqual(names, ["studio/archive-1"]);
    const settings = (user: typeof ALICE) =>
      fetch(`${hub.url}/api/organizations/studio/settings/repositories`, {
        headers: { authorization: `Bearer ${user.token}` },
      });
    const [entry] = await (await settings(ALICE)).json();
    assert.deepEqual([entry.id, entry.storage, entry.visibility], ["studio/archive-1", 20_000, "private"]);
    const stranger = await settings(BOB);
    await stranger.body?.cancel();
    assert.equal(stranger.status, 403);
    await client.deleteRepo({ ...as(hub), repo });
    assert.equal(await client.repoExists({ ...as(hub), repo }), false);
  }));

Deno.test("checkRepoAccess, datasetInfo, listSpaces: public, private, missing", () =>
  withHub(async (hub) => {
    await client.createRepo({ ...as(hub), repo: REPO, visibility: "private" });
    const open = { type: "space", name: "alice/runner" } as const;
    await client.createRepo({ ...as(hub), repo: open, sdk: "docker", visibility: "public" });
    await client.checkRepoAccess({ ...as(hub), repo: REPO });
    await assert.rejects(client.checkRepoAccess({ ...as(hub, BOB), repo: REPO }));
    await assert.rejects(client.checkRepoAccess({ hubUrl: hub.url, repo: REPO }));
    await client.checkRepoAccess({ hubUrl: hub.url, repo: open });
    const info = await client.datasetInfo({ ...as(hub), name: REPO.name });
    assert.deepEqual([info.name, info.private], [REPO.name, true]);
    const spaces: string[] = [];
    for await (const space of client.listSpaces({ hubUrl: hub.url, search: { owner: "alice" } })) {
      spaces.push(space.name);
    }
    assert.deepEqual(spaces, [open.name]);
  }));

Deno.test("hub program: tokens → from its environment, not in its arguments", async () => {
  const dir = await Deno.makeTempDir({ prefix: "hub-program-" });
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", new URL("./main.ts", import.meta.url).pathname, "--dir", dir],
    env: { HUB_USERS: "alice=hf_alice,bob=hf_bob" },
    stdout: "piped",
  }).spawn();
  const output = child.stdout.getReader();
  const { url } = JSON.parse(new TextDecoder().decode((await output.read()).value));
  assert.equal((await client.whoAmI({ hubUrl: url, accessToken: BOB.token })).name, "bob");
  if (Deno.build.os === "linux") {
    assert.doesNotMatch(await Deno.readTextFile(`/proc/${child.pid}/cmdline`), /hf_/);
  }
  child.kill("SIGTERM");
  await output.cancel();
  await child.status;
  await Deno.remove(dir, { recursive: true });
});
