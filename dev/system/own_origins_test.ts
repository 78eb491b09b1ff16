// Own videos on this machine or network: which origins `deno task dev` allows, and that such a video is played and archived.
import assert from "node:assert/strict";
import { CommandError } from "../../cli/command_line.ts";
import { readClip } from "../emulators/origin/clip.ts";
import { fileResponse } from "../emulators/origin/file_response.ts";
import { ownAllowedOrigins } from "./own_origins.ts";
import { startSystem } from "./system.ts";
import { networksOf } from "../emulators/workerd/workerd.ts";

const ROOT = new URL("../..", import.meta.url).pathname;

Deno.test("ownAllowedOrigins: options and shell, otherwise .env", async () => {
  const file = await Deno.makeTempFile();
  await Deno.writeTextFile(file, "DEV_ALLOWED_ORIGINS=http://192.168.1.10:8000, http://nas.local/\n");
  const lan = ["http://192.168.1.10:8000", "http://nas.local"];
  assert.deepEqual(await ownAllowedOrigins([], {}, file), lan);
  assert.deepEqual(await ownAllowedOrigins(["http://10.0.0.1", lan[0]!], {}, file), ["http://10.0.0.1", ...lan]);
  assert.deepEqual(await ownAllowedOrigins([], { DEV_ALLOWED_ORIGINS: "http://a.test" }, file), ["http://a.test"]);
  assert.deepEqual(await ownAllowedOrigins([], { DEV_ALLOWED_ORIGINS: "" }, file), []);
  await Deno.remove(file);
  assert.deepEqual(await ownAllowedOrigins([], {}, file), []);
});

for (
  const wrong of ["192.168.1.10:8000", "http://a.test/videos", "ftp://a.test", "http://u:p@a.test", "http://*", "*"]
) {
  Deno.test(`deno task dev --allow-origin ${wrong} → says what an origin is, exit code 2`, async () => {
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "-A",
        "--quiet",
        `${ROOT}dev/main.ts`,
        "--data-dir",
        "/dev/null/nowhere",
        "--free-ports",
        `--allow-origin=${wrong}`,
      ],
      stdin: "null",
    }).output();
    const text = new TextDecoder();
    assert.deepEqual([code, text.decode(stdout)], [2, ""]);
    assert.equal(
      text.decode(stderr),
      `--allow-origin: ${wrong} is not an origin: write scheme, host and port alone, such as http://192.168.1.10:8000\n`,
    );
    await assert.rejects(ownAllowedOrigins([], { DEV_ALLOWED_ORIGINS: wrong }, "/nonexistent"), CommandError);
  });
}

Deno.test("networksOf: an allowed origin → its address only", async () => {
  const origins = [
    "http://192.168.1.10:8000",
    "http://192.168.1.10:9000",
    "http://[fd00::1]:80",
    "http://nothing.invalid",
  ];
  assert.deepEqual(await networksOf(origins), ["192.168.1.10/32", "fd00::1/128"]);
});

Deno.test("dev --allow-origin: a local video → imported, played, archived", async () => {
  const clip = await readClip();
  const file = `${clip.dir}/clip.mp4`;
  await using host = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    (request) => fileResponse(request, file, { bytesPerSecond: null }),
  );
  const origin = `http://127.0.0.1:${host.addr.port}`;
  const dataDir = await Deno.makeTempDir({ prefix: "keepstream-own-" });
  await Deno.chmod(dataDir, 0o755);
  const system = await startSystem({ dataDir, ports: "free", durable: false, allowedOrigins: [origin] });
  try {
    const api = `${system.urls.gateway}/functions/v1`;
    const headers = { apikey: system.keys.secret, "content-type": "text/csv" };
    const body = `mal_id,episode,rights,url\n9,1,own work,${origin}/clip.mp4\n`;
    const imported = await fetch(`${api}/archive/catalogue`, { method: "POST", headers, body });
    assert.equal(imported.status, 200, await imported.text());
    const response = await (await fetch(`${api}/streaming/9/1`)).json();
    const played = await fetch(response.data.catalogue[0].stream);
    assert.deepEqual([played.status, (await played.bytes()).length], [200, clip.mp4.length]);
    for (;;) {
      const [server] = (await (await fetch(`${api}/streaming/9/1`)).json()).data.catalogue;
      if (server.archived) break;
      assert.notEqual(server.archive?.state, "dead", JSON.stringify(server));
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  } finally {
    await system.stop();
    await Deno.remove(dataDir, { recursive: true });
  }
});
