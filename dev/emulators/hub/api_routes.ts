// The Hub's JSON API under /api: whoami, repositories, listings, preupload, paths-info, stored LFS files, administration of a Space.

import { Hono } from "hono";
import { commitRoute } from "./commit_route.ts";
import { isoDate } from "./iso_date.ts";
import { repoOf, typeOf } from "./requested_repo.ts";
import {
  type Commit,
  commitAt,
  commitOid,
  gitBlobOid,
  lfsPointer,
  type Repo,
  repoKey,
  type RepoType,
  storedBytes,
  type TreeEntry,
} from "./repos.ts";
import {
  belongs,
  findReadable,
  findWritable,
  type HubContext,
  type HubEnv,
  type HubState,
  operation,
  refuse,
} from "./state.ts";

const LFS_THRESHOLD_BYTES = 10 * 1024 * 1024;
const LFS_SUFFIX = /\.(mp4|mkv|webm|ts|bin|zip|gz|parquet|safetensors)$/i;
const PAGE_SIZE = 100;

export function apiRoutes(state: HubState): Hono<HubEnv> {
  const api = new Hono<HubEnv>();
  const op = (...args: Parameters<typeof operation> extends [unknown, ...infer Rest] ? Rest : never) =>
    operation(state, ...args);

  api.get("/whoami-v2", op("whoami"), whoAmI);
  api.post("/repos/create", op("create_repo"), (c) => createRepo(c, state));
  api.delete("/repos/delete", op("delete_repo"), (c) => deleteRepo(c, state));
  api.get("/settings/repositories", op("settings"), (c) => repositoriesOf(c, state));
  api.get("/organizations/:org/settings/repositories", op("settings"), (c) => repositoriesOf(c, state));
  api.get("/:types{(?:models|datasets|spaces)}", op("list_repos"), (c) => listRepos(c, state));

  const repo = "/:types{(?:models|datasets|spaces)}/:namespace/:name";
  api.get(repo, op("repo_info"), (c) => repoInfo(c, state));
  api.get(`${repo}/revision/:revision`, op("repo_info"), (c) => repoInfo(c, state));
  api.post(`${repo}/preupload/:revision`, op("preupload"), (c) => preupload(c, state));
  api.post(`${repo}/commit/:revision`, op("commit"), (c) => commitRoute(c, state));
  api.post(`${repo}/paths-info/:revision`, op("paths_info"), (c) => pathsInfo(c, state));
  api.get(`${repo}/tree/:revision/:path{.*}?`, op("tree"), (c) => tree(c, state));
  api.get(`${repo}/commits/:revision`, op("commits"), (c) => commits(c, state));
  api.get(`${repo}/lfs-files`, op("lfs_files"), (c) => lfsFiles(c, state));
  api.post(`${repo}/lfs-files/batch`, op("delete_lfs"), (c) => deleteLfsFiles(c, state));
  return api;
}

/** The repository that the URL names, even if the caller may not see it. */
function whoAmI(c: HubContext): Response {
  const user = c.get("user");
  if (!user) return refuse(401, "Invalid username or password.");
  return c.json({
    type: "user",
    id: gitBlobOid(new TextEncoder().encode(user.name)).slice(0, 24),
    name: user.name,
    fullname: user.name,
    email: `${user.name}@example.test`,
    emailVerified: true,
    canPay: false,
    periodEnd: null,
    isPro: false,
    avatarUrl: "/avatars/0.svg",
    orgs: user.orgs.map((name) => ({
      type: "org",
      id: gitBlobOid(new TextEncoder().encode(name)).slice(0, 24),
      name,
      fullname: name,
      email: null,
      canPay: false,
      periodEnd: null,
      avatarUrl: "/avatars/0.svg",
      roleInOrg: "write",
    })),
    auth: { type: "access_token", accessToken: { displayName: "storage", role: user.role, createdAt: isoDate(0) } },
  });
}

async function createRepo(c: HubContext, state: HubState): Promise<Response> {
  const user = c.get("user");
  if (!user) return refuse(401, "Invalid username or password.");
  const wanted = await c.req.json();
  const namespace = wanted.organization ?? user.name;
  if (!belongs(user, namespace) || user.role !== "write") {
    return refuse(403, `You don't have the rights to create a ${wanted.type} under the namespace "${namespace}"`);
  }
  if (!/^[\w.-]{1,96}$/.test(String(wanted.name)) || /--|\.\./.test(wanted.name)) {
    return refuse(400, "Invalid repo name");
  }
  const id = { type: (wanted.type ?? "model") as RepoType, namespace, name: String(wanted.name) };
  const response = {
    url: `${state.hubUrl}/${id.type === "model" ? "" : id.type + "s/"}${namespace}/${id.name}`,
    name: `${namespace}/${id.name}`,
    id: gitBlobOid(new TextEncoder().encode(repoKey(id))).slice(0, 24),
  };
  if (state.repos.find(id)) {
    return c.json({ error: `You already created this ${id.type} repo`, url: response.url }, 409);
  }
  const date = isoDate(state.now());
  const repo: Repo = {
    ...id,
    createdAt: date,
    visibility: (wanted.visibility ?? (wanted.private ? "private" : "public")) === "public" ? "public" : "private",
    sdk: wanted.sdk,
    commits: [],
    objects: {},
  };
  const attributes = new TextEncoder().encode("*.mp4 filter=lfs diff=lfs merge=lfs -text\n");
  const tree: Record<string, TreeEntry> = {};
  for (const file of [{ path: ".gitattributes", bytes: attributes }, ...initialFiles(wanted.files)]) {
    const oid = gitBlobOid(file.bytes);
    await state.objects.writeSmall(oid, file.bytes);
    tree[file.path] = { kind: "regular", oid, size: file.bytes.byteLength };
  }
  repo.commits.push({
    oid: commitOid("", { id, date }),
    title: "initial commit",
    description: "",
    author: user.name,
    date,
    tree,
  });
  await state.repos.save(repo);
  return c.json(response);
}

function initialFiles(files: { path: string; content: string }[] | undefined) {
  return (files ?? []).map(({ path, content }) => ({
    path,
    bytes: Uint8Array.from(atob(content), (char) => char.charCodeAt(0)),
  }));
}

async function deleteRepo(c: HubContext, state: HubState): Promise<Response> {
  const wanted = await c.req.json();
  const namespace = wanted.organization ?? c.get("user")?.name ?? "";
  const found = findWritable(c, state.repos.find({ type: wanted.type ?? "model", namespace, name: wanted.name }));
  if (found instanceof Response) return found;
  await removeRepo(state, found);
  return c.body(null, 200);
}

/** Removes a repository and every object that no other repository has. */
export async function removeRepo(state: HubState, repo: Repo): Promise<void> {
  await state.repos.remove(repo);
  for (const oid of Object.keys(repo.objects)) await removeObject(state, oid);
}

function removeObject(state: HubState, oid: string): Promise<void> {
  return state.repos.all().some((other) => oid in other.objects) ? Promise.resolve() : state.objects.remove(oid);
}

function repositoriesOf(c: HubContext, state: HubState): Response {
  const user = c.get("user");
  if (!user) return refuse(401, "Invalid username or password.");
  const namespace = c.req.param("org") ?? user.name;
  if (!belongs(user, namespace)) return refuse(403, "You are not a member of this organization");
  const own = state.repos.all().filter((repo) => repo.namespace === namespace).map((repo) => ({
    id: `${repo.namespace}/${repo.name}`,
    type: repo.type,
    visibility: repo.visibility,
    storage: storedBytes(repo),
    storagePercent: storedBytes(repo) / user.quotaBytes,
    updatedAt: repo.commits.at(-1)?.date ?? repo.createdAt,
  }));
  return page(c, state, own);
}

function listRepos(c: HubContext, state: HubState): Response {
  const author = c.req.query("author");
  const search = c.req.query("search") ?? "";
  const visible = state.repos.all().filter((repo) =>
    repo.type === typeOf(c) && (!author || repo.namespace === author) &&
    (repo.visibility === "public" || belongs(c.get("user"), repo.namespace)) &&
    `${repo.namespace}/${repo.name}`.includes(search)
  );
  return page(c, state, visible.map(infoOf));
}

function page(c: HubContext, state: HubState, items: readonly unknown[]): Response {
  const limit = Math.min(Number(c.req.query("limit") ?? PAGE_SIZE) || PAGE_SIZE, 1000);
  const start = Number(c.req.query("cursor") ?? 0) || 0;
  if (start + limit < items.length) {
    const next = new URL(c.req.url.replace(new URL(c.req.url).origin, state.hubUrl));
    next.searchParams.set("cursor", String(start + limit));
    c.header("Link", `<${next.href}>; rel="next"`);
  }
  return c.json(items.slice(start, start + limit));
}

function repoInfo(c: HubContext, state: HubState): Response {
  const repo = findReadable(c, repoOf(c, state));
  if (repo instanceof Response) return repo;
  const commit = commitAt(repo, c.req.param("revision") ?? "main");
  if (!commit) return refuse(404, "Invalid rev id", "RevisionNotFound");
  return c.json({
    ...infoOf(repo),
    sha: commit.oid,
    siblings: Object.keys(commit.tree).map((rfilename) => ({ rfilename })),
  });
}

function infoOf(repo: Repo) {
  const head = repo.commits.at(-1);
  return {
    _id: gitBlobOid(new TextEncoder().encode(repoKey(repo))).slice(0, 24),
    id: `${repo.namespace}/${repo.name}`,
    author: repo.namespace,
    sha: head?.oid,
    lastModified: head?.date ?? repo.createdAt,
    createdAt: repo.createdAt,
    private: repo.visibility !== "public",
    gated: false,
    disabled: false,
    likes: 0,
    downloads: 0,
    tags: [],
  };
}

async function preupload(c: HubContext, state: HubState): Promise<Response> {
  const repo = findWritable(c, repoOf(c, state));
  if (repo instanceof Response) return repo;
  const { files } = await c.req.json() as { files: { path: string; size: number }[] };
  const head = repo.commits.at(-1);
  return c.json({
    files: files.map(({ path, size }) => ({
      path,
      uploadMode: LFS_SUFFIX.test(path) || size >= LFS_THRESHOLD_BYTES ? "lfs" : "regular",
      shouldIgnore: false,
      ...(head?.tree[path] ? { oid: head.tree[path].oid } : {}),
    })),
    commitOid: head?.oid,
  });
}

async function pathsInfo(c: HubContext, state: HubState): Promise<Response> {
  const repo = findReadable(c, repoOf(c, state));
  if (repo instanceof Response) return repo;
  const commit = commitAt(repo, c.req.param("revision") ?? "main");
  if (!commit) return refuse(404, "Invalid rev id", "RevisionNotFound");
  const { paths, expand } = await c.req.json() as { paths: string[] | string; expand?: boolean };
  const response = [paths].flat().flatMap((path) => {
    const entry = commit.tree[path];
    if (entry) return [fileInfo(path, entry, expand ? lastCommitOf(repo, path) : undefined)];
    const isDirectory = Object.keys(commit.tree).some((file) => file.startsWith(`${path}/`));
    return isDirectory ? [{ type: "directory", path, size: 0, oid: commitOid("tree", path) }] : [];
  });
  return c.json(response);
}

function tree(c: HubContext, state: HubState): Response {
  const repo = findReadable(c, repoOf(c, state));
  if (repo instanceof Response) return repo;
  const commit = commitAt(repo, c.req.param("revision") ?? "main");
  if (!commit) return refuse(404, "Invalid rev id", "RevisionNotFound");
  const directory = (c.req.param("path") ?? "").replace(/^\/|\/$/g, "");
  const prefix = directory ? `${directory}/` : "";
  const recursive = c.req.query("recursive") === "true";
  const inside = Object.entries(commit.tree).filter(([path]) => path.startsWith(prefix));
  if (directory && inside.length === 0) {
    return refuse(404, `${directory} does not exist on "${c.req.param("revision")}"`, "EntryNotFound");
  }
  const directories = new Set<string>();
  const files: unknown[] = [];
  for (const [path, entry] of inside) {
    const steps = path.slice(prefix.length).split("/").slice(0, -1);
    steps.forEach((_, depth) => directories.add(prefix + steps.slice(0, depth + 1).join("/")));
    if (recursive || steps.length === 0) files.push(fileInfo(path, entry));
  }
  const shown = [...directories].filter((path) => recursive || !path.slice(prefix.length).includes("/"));
  return page(c, state, [
    ...shown.map((path) => ({ type: "directory", path, size: 0, oid: commitOid("tree", path) })),
    ...files,
  ]);
}

function fileInfo(path: string, entry: TreeEntry, lastCommit?: unknown) {
  if (entry.kind === "regular") return { type: "file", path, size: entry.size, oid: entry.oid, lastCommit };
  const pointer = new TextEncoder().encode(lfsPointer(entry));
  return {
    type: "file",
    path,
    size: entry.size,
    oid: gitBlobOid(pointer),
    lfs: { oid: entry.oid, size: entry.size, pointerSize: pointer.byteLength },
    lastCommit,
  };
}

/** The last commit that changed the file. */
function lastCommitOf(repo: Repo, path: string) {
  const oidIn = (commit: Commit | undefined) => commit?.tree[path]?.oid;
  const commit = repo.commits.findLast((commit, index, all) => oidIn(commit) !== oidIn(all[index - 1]));
  return commit && { id: commit.oid, title: commit.title, date: commit.date };
}

function commits(c: HubContext, state: HubState): Response {
  const repo = findReadable(c, repoOf(c, state));
  if (repo instanceof Response) return repo;
  c.header("X-Total-Count", String(repo.commits.length));
  return page(
    c,
    state,
    repo.commits.toReversed().map((commit) => ({
      id: commit.oid,
      title: commit.title,
      message: commit.description,
      authors: [{ user: commit.author, avatar: "/avatars/0.svg" }],
      date: commit.date,
    })),
  );
}

function lfsFiles(c: HubContext, state: HubState): Response {
  const repo = findWritable(c, repoOf(c, state));
  if (repo instanceof Response) return repo;
  return page(
    c,
    state,
    Object.entries(repo.objects).map(([oid, object]) => ({
      fileOid: oid,
      oid: gitBlobOid(new TextEncoder().encode(lfsPointer({ oid, size: object.size }))),
      filename: object.filename,
      size: object.size,
      pushedAt: object.pushedAt,
      ref: "main",
    })),
  );
}

async function deleteLfsFiles(c: HubContext, state: HubState): Promise<Response> {
  const repo = findWritable(c, repoOf(c, state));
  if (repo instanceof Response) return repo;
  const { deletions } = await c.req.json() as { deletions: { sha: string[]; rewriteHistory?: boolean } };
  for (const oid of deletions.sha) delete repo.objects[oid];
  if (deletions.rewriteHistory !== false) rewriteHistory(repo, deletions.sha);
  await state.repos.save(repo);
  for (const oid of deletions.sha) await removeObject(state, oid);
  return c.body(null, 200);
}

/** Removes files from every commit. As in git, each commit from the first changed one on gets a new id. */
function rewriteHistory(repo: Repo, oids: readonly string[]): void {
  let parent: string | null = null;
  for (const commit of repo.commits) {
    const kept = Object.entries(commit.tree).filter(([, entry]) => !oids.includes(entry.oid));
    if (parent === null && kept.length === Object.keys(commit.tree).length) continue;
    commit.tree = Object.fromEntries(kept);
    commit.oid = commitOid(parent ?? "rewritten", commit);
    parent = commit.oid;
  }
}
