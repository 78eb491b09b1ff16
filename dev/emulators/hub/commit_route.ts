// POST /api/…/commit/:revision: lines of JSON, a header, then files to add or delete; all of them or none.

import { isoDate } from "./iso_date.ts";
import { repoOf } from "./requested_repo.ts";
import { type Commit, commitOid, gitBlobOid, type Repo, repoKey, type TreeEntry } from "./repos.ts";
import { findWritable, type HubContext, type HubState, refuse } from "./state.ts";

/** Larger files have to be LFS objects. */
const MAX_REGULAR_BYTES = 10 * 1024 * 1024;

interface CommitLine {
  readonly key: "header" | "file" | "lfsFile" | "deletedFile" | "deletedFolder";
  // deno-lint-ignore no-explicit-any
  readonly value: any;
}

export async function commitRoute(c: HubContext, state: HubState): Promise<Response> {
  const found = findWritable(c, repoOf(c, state));
  if (found instanceof Response) return found;
  if (c.req.param("revision") !== "main") return refuse(404, "Invalid rev id", "RevisionNotFound");
  const key = repoKey(found);
  if (state.committing.has(key)) {
    return refuse(409, "Another commit operation is in progress for this repository");
  }
  state.committing.add(key);
  try {
    const lines: CommitLine[] = (await c.req.text()).split("\n").filter(Boolean).map((line) => JSON.parse(line));
    return await apply(c, state, { repo: found, lines });
  } finally {
    state.committing.delete(key);
  }
}

async function apply(
  c: HubContext,
  state: HubState,
  { repo, lines }: { repo: Repo; lines: CommitLine[] },
): Promise<Response> {
  if (c.get("effect")?.do === "move_parent") {
    await append(state, repo, { title: "Someone else's commit", description: "", tree: { ...headTree(repo) } });
  }
  const header = lines.find((line) => line.key === "header")?.value ?? {};
  if (typeof header.summary !== "string" || header.summary === "") return refuse(400, "Commit summary is required");
  if (header.parentCommit && header.parentCommit !== repo.commits.at(-1)?.oid) {
    return refuse(412, "A commit has happened since. Please refresh and try again.");
  }
  const tree: Record<string, TreeEntry> = { ...headTree(repo) };
  for (const { key, value } of lines) {
    if (key !== "header" && !isPlainPath(value.path)) return refuse(400, `Invalid path: ${value.path}`);
    if (key === "lfsFile") {
      if (repo.objects[value.oid]?.size !== Number(value.size)) {
        return refuse(
          400,
          "Your push was rejected because an LFS pointer pointed to a file that does not exist. " +
            `Offending file: - ${value.path}`,
        );
      }
      tree[value.path] = { kind: "lfs", oid: value.oid, size: Number(value.size) };
      const object = repo.objects[value.oid];
      if (object) object.filename = value.path;
    } else if (key === "file") {
      const bytes = value.encoding === "base64"
        ? Uint8Array.from(atob(value.content), (char) => char.charCodeAt(0))
        : new TextEncoder().encode(value.content);
      if (bytes.byteLength > MAX_REGULAR_BYTES) {
        return refuse(400, `Your push was rejected because it contains files larger than 10 MiB: ${value.path}`);
      }
      const oid = gitBlobOid(bytes);
      await state.objects.writeSmall(oid, bytes);
      tree[value.path] = { kind: "regular", oid, size: bytes.byteLength };
    } else if (key === "deletedFile") {
      if (!(value.path in tree)) return refuse(404, `Entry not found: ${value.path}`, "EntryNotFound");
      delete tree[value.path];
    } else if (key === "deletedFolder") {
      for (const path of Object.keys(tree)) if (path.startsWith(value.path.replace(/\/?$/, "/"))) delete tree[path];
    }
  }
  const commit = await append(state, repo, { title: header.summary, description: header.description ?? "", tree });
  const url = `${state.hubUrl}/${repoKey(repo).replace(/^models\//, "")}/commit/${commit.oid}`;
  return c.json({ success: true, commitOid: commit.oid, commitUrl: url, hookOutput: "" });
}

function headTree(repo: Repo): Record<string, TreeEntry> {
  return repo.commits.at(-1)?.tree ?? {};
}

async function append(state: HubState, repo: Repo, content: Pick<Commit, "title" | "description" | "tree">) {
  const date = isoDate(state.now());
  const oid = commitOid(repo.commits.at(-1)?.oid ?? "", { ...content, date, count: repo.commits.length });
  const commit: Commit = { ...content, oid, author: repo.namespace, date };
  repo.commits.push(commit);
  await state.repos.save(repo);
  return commit;
}

function isPlainPath(path: unknown): boolean {
  return typeof path === "string" && path !== "" && !path.startsWith("/") &&
    !path.split("/").some((step) => step === "" || step === "." || step === ".." || step === ".git");
}
