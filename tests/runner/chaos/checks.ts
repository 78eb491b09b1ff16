/**
 * Checks after the faults: every job is ready, every copy has the recorded hash, the hub has no unrecorded file, and the queue's invariants
 * hold. Example: `const { problems, copies } = await checkArchives(fixture)`.
 */
import { createHash } from "node:crypto";
import type { RunnerFixture } from "../../../dev/testing/runner_fixture.ts";
import { brokenInvariants } from "../../queue/model/invariants.ts";
import type { Stage } from "./stage.ts";
import { moveTimeOn } from "./sweeper.ts";

const STORAGE_TASKS = new URL("../../../runner/archive/main.ts", import.meta.url).pathname;

type Copy = { repo: string; path: string; sha256: string };

export async function checkArchives(fixture: RunnerFixture): Promise<{ copies: number; problems: string[] }> {
  const { sql, admin } = fixture.database;
  const problems = (await brokenInvariants(admin)).map((name) => `invariant broken – ${name}`);
  const unfinished = await sql<{ id: string; status: string; error_class: string; error_message: string }[]>`
    select id, status, error_class, error_message from public.video_queue where status <> 'ready'`;
  for (const row of unfinished) {
    const events = await sql`select kind, detail from keepstream.events where queue_id = ${row.id} order by id`;
    const story = events.map(({ kind, detail }) => [kind, detail?.error].filter(Boolean).join(": ")).join("; ");
    problems.push(`${row.id} ended as ${row.status}: ${row.error_class} ${row.error_message} (${story})`);
  }
  const verified = await sql<Copy[]>`
    select r.repo, r.path, s.sha256 from public.video_store s join public.video_replicas r on r.store_id = s.id
    where r.state = 'verified'`;
  for (const copy of verified) {
    const hash = createHash("sha256").update(await readCopy(fixture, copy)).digest("hex");
    if (hash !== copy.sha256) problems.push(`${copy.repo}/${copy.path} has other bytes than recorded`);
  }
  const named = await sql<Copy[]>`select repo, path, '' as sha256 from public.video_replicas where repo is not null`;
  const known = new Set(named.map((copy) => `${copy.repo}/${copy.path}`));
  for (const file of await filesOnHub(fixture)) {
    if (!known.has(file)) problems.push(`${file} is on the hub without a row`);
  }
  return { copies: verified.length, problems };
}

/** Repairs missing copies with the operator's command instead of waiting a minute for a runner. Returns the ones that stay missing. */
export async function makeMissingCopies(
  { fixture, ask }: Pick<Stage, "fixture" | "ask">,
  { dead }: { dead: ReadonlySet<string> },
): Promise<string[]> {
  await moveTimeOn(ask, dead);
  await ask((sql) => sql`select public.sweep()`);
  await moveTimeOn(ask, dead); // ends the back-offs of what the sweep found
  const args = ["run", "-A", STORAGE_TASKS, "repair"];
  const { stdout, stderr } = await new Deno.Command(Deno.execPath(), { args, env: { ...fixture.env } }).output();
  const open = await ask((sql) =>
    sql<{ target: string; state: string }[]>`select target, state from public.video_replicas where state <> 'verified'`
  );
  const said = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
  return open.map(({ target, state }) => `a copy on ${target} is ${state} after a repair: ${said}`);
}

/** A starting runner deletes what killed ones left of finished jobs and repairs. Returns what stays. */
export async function leftInWorkDirs({ fixture, disk }: Pick<Stage, "fixture" | "disk">): Promise<string[]> {
  await fixture.spawn("tidy", { args: ["run-once"] }).ended;
  const left = [...Deno.readDirSync(fixture.workDir)].map((entry) => entry.name);
  if (disk !== null) {
    const env = { RUNNER_WORK_DIR: disk.path };
    await fixture.spawn("tidy-small", { enter: disk.enter, env, args: ["run-once"] }).ended;
    left.push(...await disk.entries());
  }
  return left.map((name) => `${name} was left in a work directory`);
}

async function readCopy(fixture: RunnerFixture, { repo, path }: Copy): Promise<Uint8Array> {
  const response = await fetch(`${fixture.hub.url}/datasets/${repo}/resolve/main/${path}`, { headers: tokenOf(repo) });
  return await response.bytes();
}

/** Every video in every repository: `user1/archive-1/1/ep1/….mp4`; or every file of an episode whose path matches. */
export async function filesOnHub(fixture: RunnerFixture, fits = /\.mp4$/): Promise<string[]> {
  const files: string[] = [];
  for (let n = 1; fixture.env[`HF_STORAGE_USERNAME_${n}`]; n++) {
    const user = fixture.env[`HF_STORAGE_USERNAME_${n}`]!;
    const repos = await listing<{ id: string }>(`${fixture.hub.url}/api/datasets?author=${user}`, user);
    for (const { id } of repos) {
      const tree = await listing<{ type: string; path: string }>(
        `${fixture.hub.url}/api/datasets/${id}/tree/main?recursive=true`,
        user,
      );
      const ours = tree.filter((entry) => entry.type === "file" && entry.path.includes("/ep") && fits.test(entry.path));
      files.push(...ours.map((entry) => `${id}/${entry.path}`));
    }
  }
  return files;
}

async function listing<T>(first: string, user: string): Promise<T[]> {
  const all: T[] = [];
  for (let url: string | undefined = first; url !== undefined;) {
    const response: Response = await fetch(url, { headers: tokenOf(user) });
    all.push(...await response.json() as T[]);
    url = /<([^>]+)>;\s*rel="next"/.exec(response.headers.get("link") ?? "")?.[1];
  }
  return all;
}

function tokenOf(repo: string): Record<string, string> {
  return { authorization: `Bearer hf_token${repo.split("/")[0]!.slice("user".length)}` };
}
