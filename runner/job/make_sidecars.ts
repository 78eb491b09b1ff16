/**
 * Makes what is stored beside an archive, while the file is uploaded: poster and sprite sheet. Made once for all targets.
 * Example: `beside: sidecarsOf(video, { fileKey, dir, signal, pictures: true, onFailure })`.
 */
import { redactText } from "../../core/redact.ts";
import { makeExtras } from "../media/extras.ts";
import { stageSmall } from "../transfer/staged_file.ts";
import type { Sidecar } from "../targets/target.ts";

/** A picture is not worth a longer wait before the commit. */
const PICTURES_TIMEOUT_MS = 300_000;

export interface SidecarOptions {
  readonly fileKey: string;
  readonly dir: string;
  readonly signal: AbortSignal;
  readonly pictures: boolean;
  /** A picture could not be made. */
  readonly onFailure: (message: string) => void;
}

export function sidecarsOf(
  video: { path: string; durationSeconds: number },
  options: SidecarOptions,
): () => Promise<readonly Sidecar[]> {
  let making: Promise<readonly Sidecar[]> | null = null;
  return () => making ??= picturesOf(video, options);
}

/** Best-effort step: a failure costs the pictures, not the archive. */
async function picturesOf(
  video: { path: string; durationSeconds: number },
  { pictures, onFailure, ...options }: SidecarOptions,
): Promise<Sidecar[]> {
  if (!pictures) return [];
  try {
    const signal = AbortSignal.any([options.signal, AbortSignal.timeout(PICTURES_TIMEOUT_MS)]);
    const made = await makeExtras(video.path, { ...options, ...video, signal });
    return await Promise.all(made.map(async ({ ending, path }) => ({ ending, file: await stageSmall(path) })));
  } catch (error) {
    if (!options.signal.aborted) onFailure(redactText(error instanceof Error ? error.message : String(error)));
    return [];
  }
}
