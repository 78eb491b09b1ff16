/** Puts poster and sprite sheet beside every copy of the archive. The episode is served with or without. Runs on: Deno. */
import { redactText } from "../../core/redact.ts";
import { type Extra, makeExtras } from "../media/extras.ts";
import { extraLocation } from "../targets/extras.ts";
import { stageSmall } from "../transfer/staged_file.ts";
import type { Archive, PutOptions, StorageTarget } from "../targets/target.ts";

export async function storeExtras(
  video: { path: string; durationSeconds: number },
  options: {
    archive: Archive;
    targets: readonly StorageTarget[];
    dir: string;
    put: (target: StorageTarget) => PutOptions;
    signal: AbortSignal;
    onFailure: (message: string) => void;
  },
): Promise<void> {
  const { archive, targets, dir, signal } = options;
  // A broken key frame or a full account costs a picture, never the episode; a stopping runner does without.
  const tell = (error: unknown) =>
    options.onFailure(redactText(error instanceof Error ? error.message : String(error)));
  let extras: Extra[];
  try {
    extras = await makeExtras(video.path, { ...video, ...archive, dir, signal });
  } catch (error) {
    return tell(error);
  }
  const staged = await Promise.all(extras.map(async ({ ending, path }) => ({ ending, file: await stageSmall(path) })));
  await Promise.all(targets.map(async (target) => {
    try {
      for (const { ending, file } of staged) {
        await target.put(file, extraLocation(target.address(archive), ending), options.put(target));
      }
    } catch (error) {
      tell(error);
    }
  }));
}
