// What a target has already confirmed of an upload, beside the staged file, so that a runner that was killed goes on from there.
// Example: /work/x.mp4.hub-alice.upload – the plan on the first line, one confirmed part per further line. Runs on: Deno.

export interface UploadJournal<Plan> {
  /** The plan and its confirmed parts, or null when there is none (or one of another file). */
  read(): Promise<{ plan: Plan; parts: Map<number, string> } | null>;
  begin(plan: Plan): Promise<void>;
  confirm(part: number, etag: string): Promise<void>;
  remove(): Promise<void>;
}

/** Addresses in a plan work without a token, so the journal is readable by its owner alone. */
export function openJournal<Plan>(
  file: { path: string; sha256: string; sizeBytes: number },
  target: string,
): UploadJournal<Plan> {
  const path = `${file.path}.${target.replace(/[^A-Za-z0-9.-]+/g, "-")}.upload`;
  const head = { sha256: file.sha256, sizeBytes: file.sizeBytes };
  /** A full disk costs the ability to resume, not the upload. */
  const write = (text: string, { create }: { create: boolean }) =>
    Deno.writeTextFile(path, text, { append: true, create, mode: 0o600 }).catch(() => {});
  return {
    async read() {
      const text = await Deno.readTextFile(path).catch(() => null); // none yet
      const [first, ...rest] = (text ?? "").split("\n");
      const start = parseLine(first) as (typeof head & { plan: Plan }) | null;
      if (start?.sha256 !== head.sha256 || start.sizeBytes !== head.sizeBytes) return null;
      const parts = new Map<number, string>();
      for (const line of rest) {
        const entry = parseLine(line) as { part: number; etag: string } | null;
        if (entry) parts.set(entry.part, entry.etag);
      }
      return { plan: start.plan, parts };
    },
    async begin(plan) {
      await Deno.remove(path).catch(() => {}); // none yet
      await write(`${JSON.stringify({ ...head, plan })}\n`, { create: true });
    },
    confirm: (part, etag) => write(`${JSON.stringify({ part, etag })}\n`, { create: false }),
    remove: () => Deno.remove(path).catch(() => {}), // none left
  };
}

/** A line cut short by a crash counts as absent. */
function parseLine(line: string | undefined): unknown {
  try {
    return JSON.parse(line ?? "");
  } catch {
    return null;
  }
}
