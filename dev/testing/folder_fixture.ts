// Archives whose only copies are in a folder, and what is lost of them. Example: `await using test = await createFolderRig(25)`.
// Runs on: Deno.

import type { IdentifiedTarget } from "../../runner/archive/identity.ts";
import { runStorageTask } from "../../runner/archive/tasks.ts";
import { createStorageRig, KEY, type StorageRig } from "./storage_fixture.ts";

export const ADDRESSED = { malId: 55825, episode: 1, fileKey: KEY };

export interface FolderRig extends AsyncDisposable {
  readonly rig: StorageRig;
  readonly folder: IdentifiedTarget;
  readonly root: string;
  run(...args: string[]): Promise<number>;
  remove(...episodes: number[]): Promise<void>;
}

export async function createFolderRig(episodes: number): Promise<FolderRig> {
  const rig = await createStorageRig();
  const folder = rig.targets(0)[0]!;
  const root = `${rig.test.dir}/folder`;
  for (let episode = 1; episode <= episodes; episode++) await rig.archive([folder], episode);
  return {
    rig,
    folder,
    root,
    // A process of its own remembers nothing.
    run: (...args) => runStorageTask(args, rig.tools(rig.targets(0))),
    async remove(...gone) {
      for (const episode of gone) {
        const { path } = folder.address({ ...ADDRESSED, episode });
        await Deno.remove(`${root}/archive-55825/${path}`);
      }
    },
    [Symbol.asyncDispose]: () => rig[Symbol.asyncDispose](),
  };
}

/** Rows of archives, jobs and copies, as what is lost shows in them. */
export async function rowsOf({ database }: StorageRig) {
  const [row] = await database.admin`select
    (select count(*)::int from public.video_store) as archives,
    (select count(*)::int from public.video_queue where status = 'ready') as ready,
    (select count(*)::int from public.video_replicas where state = 'verified') as verified,
    (select count(*)::int from public.video_replicas where state = 'missing') as missing`;
  return { ...row };
}
