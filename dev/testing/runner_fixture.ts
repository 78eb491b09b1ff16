/**
 * The environment of a runner for tests: its own database behind the gateway, a hub with accounts, an origin with video.
 * Example: `await using fixture = await startRunnerFixture()`; `const runner = fixture.spawn()`; `await fixture.enqueue(…)`; `await fixture.until(…)`.
 * Needs `deno task test`.
 */
import { parseJsonObject } from "../../core/json_object.ts";
import { type Gateway, startGateway } from "../emulators/supabase/gateway.ts";
import { makeProjectKeys } from "../emulators/supabase/keys.ts";
import { type Hub, type HubOptions, startHub } from "../emulators/hub/hub.ts";
import { type Line, type Origin, startOrigin } from "../emulators/origin/origin.ts";
import { createTestDatabase, type TestDatabase } from "./test_database.ts";

const ROOT = new URL("../..", import.meta.url).pathname;
const FAST_LINE: Line = { connectMs: 0, latencyMs: 5, bytesPerSecond: null };

export type FixtureOptions = {
  readonly line?: Line;
  readonly accounts?: number;
  readonly env?: Readonly<Record<string, string>>;
  /** A cluster other than that of `deno task test`. */
  readonly cluster?: string;
  readonly hub?: Partial<HubOptions>;
};

export type SpawnOptions = {
  readonly env?: Readonly<Record<string, string>>;
  readonly args?: readonly string[];
  /** Prefix of the command line. */
  readonly enter?: readonly string[];
  /** Replaces the command line `deno run -A runner/main.ts`; started in the repository's root. */
  readonly command?: readonly string[];
};

export type RunnerProcess = {
  readonly child: Deno.ChildProcess;
  readonly name: string;
  readonly lines: string[];
  /** Resolves with the first log line of this event; rejects if the runner ends before. */
  readonly saw: (event: string, where?: (line: Record<string, unknown>) => boolean) => Promise<Record<string, unknown>>;
  readonly ended: Promise<Deno.CommandStatus>;
};

export type RunnerFixture = AsyncDisposable & {
  readonly database: TestDatabase;
  readonly gateway: Gateway;
  /** A key that the queue refuses. */
  readonly publishableKey: string;
  readonly hub: Hub;
  readonly origin: Origin;
  readonly workDir: string;
  readonly env: Readonly<Record<string, string>>;
  readonly spawn: (name?: string, options?: SpawnOptions) => RunnerProcess;
  readonly enqueue: (video: Readonly<Record<string, unknown>>) => Promise<string>;
  /** Arguments of `enqueue` for one of the origin's media: episode 1 of title 1, in the operator's catalogue. */
  readonly videoOf: (name: string) => Promise<Record<string, unknown>>;
  readonly job: (id: string) => Promise<QueueRow>;
  /** Waits until the job's row satisfies `done`. Polls ten times a second, and reports the last row on a timeout. */
  readonly until: (id: string, done: (row: QueueRow) => boolean, seconds?: number) => Promise<QueueRow>;
};

export type QueueRow = {
  readonly id: string;
  readonly status: string;
  readonly attempts: number;
  readonly error_class: string | null;
  readonly error_message: string | null;
  readonly terminal_at: Date | null;
  readonly progress: Record<string, unknown> | null;
  readonly lease_owner: string | null;
};

export async function startRunnerFixture(options: FixtureOptions = {}): Promise<RunnerFixture> {
  await using stack = new AsyncDisposableStack();
  const dir = await Deno.makeTempDir({ prefix: "keepstream-fixture-" });
  stack.defer(() => Deno.remove(dir, { recursive: true }));
  const database = stack.use(
    await createTestDatabase(options.cluster === undefined ? {} : { cluster: options.cluster }),
  );
  const keys = makeProjectKeys();
  const gateway = await startGateway({ port: 0, databaseUrl: database.authenticatorUrl, keys });
  stack.defer(() => gateway.stop());
  const users = Array.from(
    { length: options.accounts ?? 2 },
    (_, i) => ({ name: `user${i + 1}`, token: `hf_token${i + 1}` }),
  );
  const hub = await startHub({ dir: `${dir}/hub`, users, ...options.hub });
  stack.defer(() => hub.stop());
  const origin = await startOrigin({
    port: 0,
    dir: `${ROOT}.keepstream/test-origin`,
    line: options.line ?? FAST_LINE,
  });
  stack.defer(() => origin.stop());
  const workDir = `${dir}/work`;
  const env = {
    SUPABASE_URL: gateway.url,
    SUPABASE_SECRET_KEYS: JSON.stringify({ default: keys.secret }),
    HF_FILE_SALT: "salt-of-the-tests",
    RUNNER_WEBHOOK_SECRET: "whsec_dGhlLXdlYmhvb2stc2VjcmV0LW9mLXRoZS10ZXN0cw==",
    HF_REPO_PREFIX: "archive",
    HF_ENDPOINT: hub.url,
    HF_STORAGE_ACCOUNT_COUNT: String(users.length),
    ...Object.fromEntries(users.flatMap((user, i) => [
      [`HF_TOKEN_STORAGE_${i + 1}`, user.token],
      [`HF_STORAGE_USERNAME_${i + 1}`, user.name],
    ])),
    DEV_ALLOWED_ORIGINS: origin.url,
    RUNNER_WORK_DIR: workDir,
    RUNNER_POLL_SECONDS: "0.3",
    PORT: "0",
    ...options.env,
  };

  const runners: RunnerProcess[] = [];
  stack.defer(async () => {
    for (const runner of runners) killQuietly(runner.child);
    await Promise.all(runners.map((runner) => runner.ended));
  });

  await database
    .serviceRole`insert into public.providers (name, recipe, rights) values ('catalogue', 'page', 'own work')`;

  const fixture = {
    database,
    gateway,
    publishableKey: keys.publishable,
    hub,
    origin,
    workDir,
    env,
    spawn: (name = "r1", more: SpawnOptions = {}) => {
      const runner = spawnRunner(name, { ...more, env: { ...env, RUNNER_NAME: name, ...more.env } });
      runners.push(runner);
      return runner;
    },
    enqueue: async (video: Readonly<Record<string, unknown>>) => {
      const [row] = await database.serviceRole`
        select id from public.enqueue_videos(${JSON.stringify([video])}::text::jsonb)`;
      return row!.id as string;
    },
    async videoOf(name: string) {
      const { url, embedUrl: embed_url, resolution } = origin.media.find((medium) => medium.name === name)!;
      return { mal_id: 1, episode: 1, provider: "catalogue", video_url: await url(), embed_url, resolution };
    },
    job: async (id: string) => {
      const [row] = await database.sql<QueueRow[]>`
        select id, status, attempts, error_class, error_message, terminal_at, progress, lease_owner
        from public.video_queue where id = ${id}`;
      return row!;
    },
    until: async (id: string, done: (row: QueueRow) => boolean, seconds = 60) => {
      const end = Date.now() + seconds * 1000;
      for (;;) {
        const row = await fixture.job(id);
        if (done(row)) return row;
        if (Date.now() > end) throw new Error(`gave up waiting; the row is ${JSON.stringify(row)}`);
        await new Promise((next) => setTimeout(next, 100));
      }
    },
  };
  const owned = stack.move();
  return { ...fixture, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

const COMMAND = [Deno.execPath(), "run", "--quiet", "-A", `${ROOT}runner/main.ts`];

function spawnRunner(
  name: string,
  { env = {}, args = [], enter = [], command = COMMAND }: SpawnOptions,
): RunnerProcess {
  const [program, ...rest] = [...enter, ...command, ...args];
  const child = new Deno.Command(program!, {
    args: rest,
    cwd: ROOT,
    env: { ...env },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const lines: string[] = [];
  const listeners = new Set<() => void>();
  let over = false;
  const read = async (stream: ReadableStream<Uint8Array<ArrayBuffer>>) => {
    let rest = "";
    for await (const text of stream.pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>)) {
      const parts = (rest + text).split("\n");
      rest = parts.pop() ?? "";
      lines.push(...parts);
      listeners.forEach((listener) => listener());
    }
  };
  const ended = (async () => {
    const [status] = await Promise.all([child.status, read(child.stdout), read(child.stderr)]);
    over = true;
    listeners.forEach((listener) => listener());
    return status;
  })();
  const saw = (event: string, where: (line: Record<string, unknown>) => boolean = () => true) =>
    new Promise<Record<string, unknown>>((resolve, reject) => {
      const check = () => {
        const found = lines.map(parseJsonObject).find((line) => line?.event === event && where(line));
        if (!found && !over && !late) return;
        listeners.delete(check);
        clearTimeout(timer);
        if (found) resolve(found);
        else reject(new Error(`no ${event} in ${late ? "a minute" : "its run"}:\n${lines.slice(-15).join("\n")}`));
      };
      let late = false;
      const timer = setTimeout(() => {
        late = true;
        check();
      }, 60_000);
      listeners.add(check);
      check();
    });
  return { child, name, lines, saw, ended };
}

function killQuietly(child: Deno.ChildProcess): void {
  try {
    child.kill("SIGCONT");
    child.kill("SIGKILL");
  } catch {
    // it has ended
  }
}
