import assert from "node:assert/strict";
import { join } from "node:path";
import { createClient } from "@supabase/supabase-js";
import { openDataFolder } from "./data_folder.ts";
import { FIXED_PORTS, fixedPorts } from "./ports.ts";
import { freePort } from "../process/free_port.ts";
import { startService } from "../process/service.ts";
import { findRunningSystem, type RunningSystem, startSystem } from "./system.ts";

/** A data folder that the user of Postgres can enter. */
async function makeDataDir(): Promise<{ dir: string } & AsyncDisposable> {
  const dir = await Deno.makeTempDir({ prefix: "keepstream-system-" });
  await Deno.chmod(dir, 0o755);
  return { dir, [Symbol.asyncDispose]: () => Deno.remove(dir, { recursive: true }) };
}

/** Processes that still belong to a system's process groups. */
async function survivors(system: Pick<RunningSystem, "processes">): Promise<string[]> {
  const groups = new Set(Object.values(system.processes).map(String));
  const found: string[] = [];
  for await (const { name } of Deno.readDir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const stat = await Deno.readTextFile(`/proc/${name}/stat`).catch(() => "");
    const [state, , group] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    if (state !== "Z" && groups.has(group ?? "")) found.push(stat.slice(0, 60));
  }
  return found;
}

/** Processes whose command line names `dir`. */
async function namedIn(dir: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { name } of Deno.readDir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const command = await Deno.readTextFile(`/proc/${name}/cmdline`).catch(() => "");
    if (command.includes(dir)) found.push(command.replaceAll("\0", " "));
  }
  return found;
}

interface Program {
  readonly child: Deno.ChildProcess;
  /** Its complete output, once it has ended. */
  readonly output: Promise<{ stdout: string; stderr: string }>;
  /** Resolves when it has printed that it is ready, or ended. */
  readonly ready: Promise<void>;
}

function runMain(dataDir: string, options: { args?: string[]; env?: Record<string, string> } = {}): Program {
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "-A", "--quiet", new URL("../main.ts", import.meta.url).pathname],
      ...["--data-dir", dataDir, "--free-ports", ...options.args ?? []],
    ],
    env: options.env,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const ready = Promise.withResolvers<void>();
  const read = async (stream: ReadableStream<Uint8Array>) => {
    let text = "";
    for await (const chunk of stream.pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>)) {
      text += chunk;
      if (text.includes("keepstream is ready")) ready.resolve();
    }
    ready.resolve();
    return text;
  };
  const output = Promise.all([read(child.stdout), read(child.stderr)]).then(([stdout, stderr]) => ({ stdout, stderr }));
  return { child, output, ready: ready.promise };
}

async function runningOf(program: Program, dir: string): Promise<RunningSystem> {
  await program.ready;
  const running = await findRunningSystem(dir);
  if (running === null) assert.fail(JSON.stringify(await program.output));
  return running;
}

Deno.test("startSystem: every part responds; stop() → nothing is left", async (t) => {
  await using data = await makeDataDir();
  const system = await startSystem({ dataDir: data.dir, ports: "free", durable: false });
  try {
    await t.step("each URL responds", async () => {
      const { urls } = system;
      for (
        const url of [
          ...[urls.episode, urls.watch, `${urls.web}/config.json`],
          ...[`${urls.proxy}/health`, `${urls.runner}/health`, urls.origin, urls.hub],
        ]
      ) {
        const response = await fetch(url);
        await response.body?.cancel();
        assert.ok(response.status < 500, `${url} → ${response.status}`);
      }
    });
    await t.step("the demo episode has a signed link per source", async () => {
      const response = await (await fetch(system.urls.episode)).json();
      assert.equal(response.success, true);
      assert.equal(response.mal_id, 55825);
      const servers = response.data.catalogue as { stream: string; url: string }[];
      assert.deepEqual(
        servers.map((server) => server.url).sort(),
        system.media.map((medium) => medium.embedUrl).sort(),
      );
      for (const { stream } of servers) assert.ok(stream.startsWith(`${system.urls.proxy}/proxy?url=`), stream);
    });
    await t.step("functions respond through supabase-js; operators need the secret key", async () => {
      const options = { auth: { persistSession: false } };
      const service = createClient(system.urls.gateway, system.keys.secret, options);
      const counts = await service.functions.invoke("archive/counts", { method: "GET" });
      assert.equal(counts.error, null);
      assert.equal(counts.data.success, true);
      const anon = createClient(system.urls.gateway, system.keys.publishable, options);
      const refused = await anon.functions.invoke("archive/counts", { method: "GET" });
      assert.equal(refused.error?.context.status, 401);
      await refused.error?.context.body?.cancel();
    });
    await t.step("the Deno Deploy entry responds under /api/v1", async () => {
      const port = freePort();
      const entry = await startService({
        name: "deploy",
        command: [
          Deno.execPath(),
          "run",
          "--quiet",
          "-A",
          new URL("../../functions/main.ts", import.meta.url).pathname,
        ],
        env: {
          ...system.env,
          PATH: Deno.env.get("PATH")!,
          HOME: Deno.env.get("HOME")!,
          DENO_SERVE_ADDRESS: `tcp:127.0.0.1:${port}`,
        },
        guard: { add() {}, remove() {}, close: () => Promise.resolve() },
        log: () => {},
        ready: { url: `http://127.0.0.1:${port}/api/v1/streaming/health` },
      });
      try {
        const response = await (await fetch(`http://127.0.0.1:${port}/api/v1/streaming/55825/1`)).json();
        assert.deepEqual([response.success, response.mal_id, response.episode], [true, 55825, 1]);
      } finally {
        await entry.stop();
      }
    });
    await t.step("secrets and state are readable by their owner only", async () => {
      for (const file of ["secrets.json", "running.json"]) {
        assert.equal((await Deno.stat(join(data.dir, file))).mode! & 0o777, 0o600, file);
      }
    });
    await t.step("findRunningSystem finds it", async () => {
      const found = await findRunningSystem(data.dir);
      assert.deepEqual(found?.urls, system.urls);
      assert.deepEqual(found?.keys, system.keys);
    });
    await t.step("the operator's commands find it", async () => {
      const command = async (...args: string[]) => {
        const { SUPABASE_URL: _, ...env } = Deno.env.toObject();
        const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
          args: ["task", "--quiet", ...args],
          cwd: new URL("../..", import.meta.url).pathname,
          clearEnv: true,
          env: { ...env, KEEPSTREAM_DATA_DIR: data.dir },
        }).output();
        const [text, complaint] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes).trim());
        assert.equal(code, 0, `${args.join(" ")}: ${text}${complaint}`);
        return text!;
      };
      assert.match(await command("providers", "list"), /catalogue/);
      assert.match(await command("storage", "health"), /hub:keeper-one: ok/);
      const page = await (await fetch(`${system.urls.origin}/embed/mp4`)).text();
      const url = new URL(JSON.parse(page.match(/file: (".+?")/)![1]!));
      const video = await (await fetch(await command("sign", url.href))).bytes();
      assert.equal(new TextDecoder().decode(video.subarray(4, 8)), "ftyp");
    });
    await t.step("a second one in the same folder → a one-line error", async () => {
      const error = await startSystem({ dataDir: data.dir, ports: "free" }).then(() => null, (error) => error);
      assert.equal(error.code, "already_running");
      assert.match(error.message, new RegExp(`^keepstream already runs in .* \\(pid ${Deno.pid}\\): stop it there`));
    });
  } finally {
    await system.stop();
  }
  assert.deepEqual(await survivors(system), []);
  assert.equal(await findRunningSystem(data.dir), null);
  await assert.rejects(Deno.stat(join(data.dir, "running.json")));
});

Deno.test("deno task dev: SIGTERM → exit 0; next start → same data and URLs", async () => {
  await using data = await makeDataDir();
  const first = runMain(data.dir);
  const before = await runningOf(first, data.dir);
  first.child.kill("SIGTERM");
  const status = await first.child.status;
  const { stdout, stderr } = await first.output;
  assert.equal(status.code, 0, stderr);
  assert.equal(stderr, "");
  assert.match(stdout, /^postgres|^hub|^origin/m);
  assert.match(stdout, new RegExp(`episode +${before.urls.episode}`));
  assert.equal(stdout.includes(before.accounts[0]!.token), false, "no token in the log");
  assert.deepEqual(await survivors(before), []);

  const second = runMain(data.dir);
  const after = await runningOf(second, data.dir);
  assert.deepEqual(after.keys, before.keys);
  assert.deepEqual(after.urls, before.urls);
  second.child.kill("SIGKILL"); // without a chance to clean up
  await second.child.status;
  await second.output;
  while ((await survivors(after)).length > 0) await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(await findRunningSystem(data.dir), null);

  const third = runMain(data.dir, { args: ["--reset", "--yes"] });
  const reset = await runningOf(third, data.dir);
  assert.notDeepEqual(reset.keys, before.keys);
  Deno.kill(reset.processes.postgres!, "SIGKILL"); // Postgres ends while everything runs
  assert.equal((await third.child.status).code, 1);
  const last = await third.output;
  assert.equal(last.stderr, "postgres ended (SIGKILL): everything is stopped; start again\n");
  assert.deepEqual(await survivors(reset), []);
});

Deno.test("deno task dev: Ctrl-C during the start → exit 130, nothing running", async () => {
  await using data = await makeDataDir();
  const first = runMain(data.dir);
  while ((await namedIn(data.dir)).length < 2) await new Promise((resolve) => setTimeout(resolve, 5)); // itself and a first part
  first.child.kill("SIGINT");
  assert.equal((await first.child.status).code, 130);
  const { stdout } = await first.output;
  assert.equal(stdout.includes("keepstream is ready"), false);
  for (let tries = 0; tries < 600 && (await namedIn(data.dir)).length > 0; tries++) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.deepEqual(await namedIn(data.dir), []);

  const second = runMain(data.dir);
  const running = await runningOf(second, data.dir);
  second.child.kill("SIGINT");
  assert.equal((await second.child.status).code, 0, (await second.output).stderr);
  assert.deepEqual(await survivors(running), []);
});

Deno.test("deno task dev: aria2 not installable → the command to run", async () => {
  await using data = await makeDataDir();
  const program = runMain(data.dir, { env: { PATH: "/nonexistent" } });
  assert.equal((await program.child.status).code, 1);
  const { stderr } = await program.output;
  assert.match(stderr, /^aria2, ffmpeg missing: run (sudo )?apt-get install -y aria2 ffmpeg, then start again\n$/);
});

Deno.test("deno task dev: an unusable folder → a one-line error", async () => {
  await using data = await makeDataDir();
  const file = join(data.dir, "file");
  await Deno.writeTextFile(file, "");
  const program = runMain(file);
  assert.equal((await program.child.status).code, 1);
  assert.match((await program.output).stderr, /^cannot use the data folder .*\n$/);
});

Deno.test({
  name: "deno task dev: a full disk, at any step → a one-line error",
  ignore: Deno.build.os !== "linux" || Deno.uid() !== 0, // only root can mount a small disk
  async fn(t) {
    for (const size of ["100k", "10m", "45m"]) {
      await t.step(size, async () => {
        await using data = await makeDataDir();
        const args = ["-t", "tmpfs", "-o", `size=${size},mode=0755`, "tmpfs", data.dir];
        if (!(await new Deno.Command("mount", { args, stderr: "null" }).output()).success) return; // may not mount
        try {
          const program = runMain(data.dir);
          const status = program.child.status;
          await program.ready;
          const running = await findRunningSystem(data.dir);
          if (running) program.child.kill("SIGTERM"); // the disk was large enough
          assert.equal((await status).code, 1);
          const { stderr } = await program.output;
          assert.match(stderr, /^no space left for .*: free some, then start again.*\n$/);
        } finally {
          await new Deno.Command("umount", { args: [data.dir] }).output();
        }
      });
    }
  },
});

Deno.test("fixedPorts: taken ports → all named, with their programs", async () => {
  using one = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  using two = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const ports = { gateway: one.addr.port, runner: two.addr.port } as unknown as typeof FIXED_PORTS;
  const error = await fixedPorts(ports).then(() => null, (error) => error);
  assert.equal(error.code, "port_taken");
  assert.match(
    error.message,
    new RegExp(
      `^ports ${one.addr.port} \\(gateway, held by .*, pid ${Deno.pid}\\), ${two.addr.port} \\(runner.*\\) are taken: stop`,
    ),
  );
});

Deno.test("openDataFolder: reopened → same secrets; another folder → others", async () => {
  await using data = await makeDataDir();
  const first = await openDataFolder(join(data.dir, "a"));
  await first.release();
  const again = await openDataFolder(join(data.dir, "a"));
  const other = await openDataFolder(join(data.dir, "b"));
  assert.deepEqual(again.secrets, first.secrets);
  assert.notEqual(other.secrets.keys.secret, first.secrets.keys.secret);
  await again.release();
  await other.release();
});
