/** Puts poster and sprite sheet beside the archive on the target that took it first. The episode is served with or without. Runs on: Deno. */
import { KeepstreamError } from "../../core/errors.ts";
import { redactText } from "../../core/redact.ts";
import { makeExtras } from "../media/extras.ts";
import type { StagedFile } from "../storage/staged_file.ts";
import type { Archive, PutOptions, StorageTarget } from "../storage/target.ts";

export async function storeExtras(
  video: { path: string; durationSeconds: number },
  options: {
    archive: Archive;
    target: StorageTarget;
    dir: string;
    put: PutOptions & { signal: AbortSignal };
    onFailure: (message: string) => void;
  },
): Promise<void> {
  const { archive, target, put } = options;
  try {
    const extras = await makeExtras(video.path, { ...video, ...archive, dir: options.dir, signal: put.signal });
    const address = target.address(archive);
    for (const extra of extras) {
      await target.put(
        await stageSmall(extra.path),
        { ...address, path: address.path.replace(/\.mp4$/, extra.ending) },
        put,
      );
    }
  } catch (error) {
    // A broken key frame or a full account costs a picture, never the episode; a stopping runner does without.
    const message = error instanceof KeepstreamError || error instanceof Error ? error.message : String(error);
    options.onFailure(redactText(message));
  }
}

/** A few kilobytes that were made here a moment ago. */
async function stageSmall(path: string): Promise<StagedFile> {
  const bytes = await Deno.readFile(path);
  const digest = await crypto.subtle.digest("SHA-256", bytes);
  return { path, sizeBytes: bytes.length, sha256: new Uint8Array(digest).toHex() };
}
