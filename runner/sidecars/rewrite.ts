/** How maintenance rewrites the file of an archive; `write_presentation.ts` does it. */
import type { Presentation } from "../../core/presentation.ts";
import type { StagedFile } from "../transfer/staged_file.ts";

export type Rewrite = (
  input: string,
  options: { output: string; fileKey: string; signal: AbortSignal },
) => Promise<Rewritten>;

export type Rewritten =
  | {
    readonly kind: "done";
    /** `path` is the input if nothing had to be written. */
    readonly file: Pick<StagedFile, "path" | "sha256" | "sizeBytes">;
    readonly presentation: Presentation;
    /** By ending. */
    readonly texts: ReadonlyMap<string, string>;
  }
  | { readonly kind: "needs_remux"; readonly reason: string };
