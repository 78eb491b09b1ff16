// Repositories of the hub on disk: owners, commits and trees. One JSON file per repository, written atomically.
// Example: repos/datasets/alice/archive-55825.json.

import { createHash } from "node:crypto";

export interface SpaceState {
  secrets: Record<string, { value: string; updatedAt: string }>;
  variables: Record<string, { value: string; updatedAt: string }>;
  stage: "RUNNING" | "PAUSED" | "RUNNING_BUILDING";
  sleepSeconds: number | null;
}

export type RepoType = "dataset" | "model" | "space";

export interface TreeEntry {
  readonly kind: "lfs" | "regular";
  /** SHA-256 of an LFS object, git blob SHA-1 of a regular file: the name of its bytes in the object store. */
  readonly oid: string;
  readonly size: number;
}

export interface Commit {
  oid: string;
  readonly title: string;
  readonly description: string;
  readonly author: string;
  readonly date: string;
  tree: Record<string, TreeEntry>;
}

export interface Repo {
  readonly type: RepoType;
  readonly namespace: string;
  readonly name: string;
  readonly createdAt: string;
  visibility: "public" | "private";
  sdk?: string;
  space?: SpaceState;
  /** Oldest first; the last one is the head of main. */
  commits: Commit[];
  /** LFS objects of this repository, including those that no commit names. */
  objects: Record<string, { size: number; pushedAt: string; filename: string | null }>;
}

export class Repos {
  readonly #dir: string;
  readonly #repos = new Map<string, Repo>();

  private constructor(dir: string) {
    this.#dir = dir;
  }

  static async open(dir: string): Promise<Repos> {
    const repos = new Repos(`${dir}/repos`);
    await Deno.mkdir(repos.#dir, { recursive: true });
    for await (const entry of Deno.readDir(repos.#dir)) {
      if (!entry.name.endsWith(".json")) continue;
      const repo: Repo = JSON.parse(await Deno.readTextFile(`${repos.#dir}/${entry.name}`));
      repos.#repos.set(repoKey(repo), repo);
    }
    return repos;
  }

  find(id: { type: RepoType; namespace: string; name: string }): Repo | undefined {
    return this.#repos.get(repoKey(id));
  }

  byKey(key: string): Repo | undefined {
    return this.#repos.get(key);
  }

  all(): Repo[] {
    return [...this.#repos.values()];
  }

  async save(repo: Repo): Promise<void> {
    this.#repos.set(repoKey(repo), repo);
    const path = this.#path(repo);
    const draft = `${path}.${crypto.randomUUID()}.tmp`;
    await Deno.writeTextFile(draft, JSON.stringify(repo));
    await Deno.rename(draft, path);
  }

  async remove(repo: Repo): Promise<void> {
    this.#repos.delete(repoKey(repo));
    await Deno.remove(this.#path(repo)).catch(() => {});
  }

  #path(repo: Repo): string {
    return `${this.#dir}/${repoKey(repo).replaceAll("/", "~")}.json`;
  }
}

export function repoKey(id: { type: RepoType; namespace: string; name: string }): string {
  return `${id.type}s/${id.namespace}/${id.name}`;
}

/** The commit of a revision: a branch (main), HEAD, or a full commit id. */
export function commitAt(repo: Repo, revision: string): Commit | undefined {
  if (revision === "main" || revision === "HEAD") return repo.commits.at(-1);
  return repo.commits.find((commit) => commit.oid === revision);
}

export function commitOid(parent: string, content: unknown): string {
  return createHash("sha1").update(parent).update(JSON.stringify(content)).digest("hex");
}

export function gitBlobOid(bytes: Uint8Array): string {
  return createHash("sha1").update(`blob ${bytes.byteLength}\0`).update(bytes).digest("hex");
}

/** The text that git stores in place of an LFS object. */
export function lfsPointer(entry: { oid: string; size: number }): string {
  return `version https://git-lfs.github.com/spec/v1\noid sha256:${entry.oid}\nsize ${entry.size}\n`;
}

export function storedBytes(repo: Repo): number {
  return Object.values(repo.objects).reduce((sum, object) => sum + object.size, 0);
}
