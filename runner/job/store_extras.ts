/** Adds poster and sprite sheet to every copy of the archive. Best-effort step. */
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
  // A failure costs a picture, not the episode. A stopping runner skips them.
  const report = (error: unknown) =>
    options.onFailure(redactText(error instanceof Error ? error.message : String(error)));
  let extras: Extra[];
  try {
    extras = await makeExtras(video.path, { ...video, ...archive, dir, signal });
  } catch (error) {
    return report(error);
  }
  const staged = await Promise.all(extras.map(async ({ ending, path }) => ({ ending, file: await stageSmall(path) })));
  await Promise.all(targets.map(async (target) => {
    try {
      for (const { ending, file } of staged) {
        await target.put(file, extraLocation(target.locationOf(archive), ending), options.put(target));
      }
    } catch (error) {
      report(error);
    }
  }));
}
