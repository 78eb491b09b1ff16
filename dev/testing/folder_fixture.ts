// Archives whose only copies are in a folder, for tests of missing copies. Example: `await using test = await createFolderFixture(25)`.

import type { IdentifiedTarget } from "../../runner/archive/identity.ts";
import { runStorageTask } from "../../runner/archive/tasks.ts";
import { createStorageFixture, KEY, type StorageFixture } from "./storage_fixture.ts";

export const ADDRESSED = { malId: 55825, episode: 1, fileKey: KEY };

export interface FolderFixture extends AsyncDisposable {
  readonly fixture: StorageFixture;
  readonly folder: IdentifiedTarget;
  readonly root: string;
  run(...args: string[]): Promise<number>;
  remove(...episodes: number[]): Promise<void>;
}

export async function createFolderFixture(episodes: number): Promise<FolderFixture> {
  const fixture = await createStorageFixture();
  const folder = fixture.targets(0)[0]!;
  const root = `${fixture.test.dir}/folder`;
  for (let episode = 1; episode <= episodes; episode++) await fixture.archive([folder], episode);
  return {
    fixture,
    folder,
    root,
    // A new process has no caches.
    run: (...args) => runStorageTask(args, fixture.tools(fixture.targets(0))),
    async remove(...gone) {
      for (const episode of gone) {
        const { path } = folder.locationOf({ ...ADDRESSED, episode });
        await Deno.remove(`${root}/archive-55825/${path}`);
      }
    },
    [Symbol.asyncDispose]: () => fixture[Symbol.asyncDispose](),
  };
}

/** Rows of archives, jobs and copies, to observe what was lost. */
export async function rowsOf({ database }: StorageFixture) {
  const [row] = await database.admin`select
    (select count(*)::int from public.video_store) as archives,
    (select count(*)::int from public.video_queue where status = 'ready') as ready,
    (select count(*)::int from public.video_replicas where state = 'verified') as verified,
    (select count(*)::int from public.video_replicas where state = 'missing') as missing`;
  return { ...row };
}
