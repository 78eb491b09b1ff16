/**
 * The confirmed parts of an upload, in a file next to the staged file, so that a killed runner resumes.
 * Example: /work/x.mp4.hub-alice.upload: the plan on the first line, a confirmed part on each further line.
 */

import { z } from "zod";
import { parseJsonObject } from "../../core/json_object.ts";
import type { StagedFile } from "./staged_file.ts";

const MAX_JOURNAL_BYTES = 64 * 1024 * 1024;
const firstLine = z.object({ sha256: z.string(), sizeBytes: z.number(), plan: z.unknown() });
const partLine = z.object({ part: z.int().positive(), etag: z.string() });

export interface UploadJournal<Plan> {
  /** The plan and its confirmed parts; null if there is no journal for this file and release. */
  read(): Promise<{ plan: Plan; parts: Map<number, string> } | null>;
  begin(plan: Plan): Promise<void>;
  confirm(part: number, etag: string): Promise<void>;
  remove(): Promise<void>;
}

/**
 * URLs in a plan work without a token, so only the owner can read the journal. `parsePlan` returns null if the value is not a plan for
 * this file.
 */
export function openJournal<Plan>(
  file: StagedFile,
  options: { target: string; parsePlan: (value: unknown) => Plan | null },
): UploadJournal<Plan> {
  const path = `${file.path}.${options.target.replace(/[^A-Za-z0-9._-]+/g, "-")}.upload`;
  const head = { sha256: file.sha256, sizeBytes: file.sizeBytes };
  /** On a full disk, the upload continues without a journal. */
  const write = (text: string, { create }: { create: boolean }) =>
    Deno.writeTextFile(path, text, { append: true, create, mode: 0o600 }).catch(() => {});
  return {
    async read() {
      const { size } = await Deno.stat(path).catch(() => ({ size: 0 })); // none yet
      if (size === 0 || size > MAX_JOURNAL_BYTES) return null;
      const [first, ...rest] = (await Deno.readTextFile(path)).split("\n").map(parseJsonObject); // null for an incomplete line
      const start = firstLine.safeParse(first).data;
      if (start?.sha256 !== head.sha256 || start.sizeBytes !== head.sizeBytes) return null;
      const plan = options.parsePlan(start.plan);
      if (plan === null) return null;
      const confirmed = rest.flatMap((line) => partLine.safeParse(line).data ?? []);
      return { plan, parts: new Map(confirmed.map(({ part, etag }) => [part, etag])) };
    },
    async begin(plan) {
      await Deno.remove(path).catch(() => {}); // none yet
      await write(`${JSON.stringify({ ...head, plan })}\n`, { create: true });
    },
    confirm: (part, etag) => write(`${JSON.stringify({ part, etag })}\n`, { create: false }),
    remove: () => Deno.remove(path).catch(() => {}), // none left
  };
}
