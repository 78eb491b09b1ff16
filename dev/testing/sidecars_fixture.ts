/** Reads and changes the sidecars of a storage fixture, and runs storage tasks on it. */
import type { IdentifiedTarget } from "../../runner/archive/identity.ts";
import { runStorageTask } from "../../runner/archive/tasks.ts";
import { sidecarLocation } from "../../runner/targets/sidecars.ts";
import type { StorageTarget } from "../../runner/targets/target.ts";
import { KEY, type StorageFixture } from "./storage_fixture.ts";

export async function textsBeside(target: StorageTarget, fileKey = KEY): Promise<Record<string, string>> {
  const location = target.locationOf({ malId: 55825, episode: 1, fileKey });
  const stored: Record<string, string> = {};
  for (const ending of await target.sidecarsOf(location)) {
    stored[ending] = await new Response(await target.read(sidecarLocation(location, ending))).text();
  }
  return stored;
}

/** Changes a sidecar in the folder directly, not through the target; null deletes it. */
export async function tamper(fixture: StorageFixture, ending: string, text: string | null, fileKey = KEY) {
  const path = `${fixture.test.dir}/folder/archive-55825/55825/ep1/${fileKey}${ending}`;
  await Deno.remove(path);
  if (text !== null) await Deno.writeTextFile(path, text);
}

export async function runTask(
  fixture: StorageFixture,
  task: string,
  targets: readonly IdentifiedTarget[] = fixture.targets(1),
): Promise<{ code: number; text: string }> {
  const tools = fixture.tools(targets);
  fixture.lines.length = 0;
  return { code: await runStorageTask([task], tools), text: fixture.lines.join("\n") };
}
