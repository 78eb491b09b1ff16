// The repository that a route's path names.
import type { Repo, RepoType } from "./repos.ts";
import type { HubContext, HubState } from "./state.ts";

export function repoOf(c: HubContext, state: HubState): Repo | undefined {
  return state.repos.find({
    type: typeOf(c),
    namespace: c.req.param("namespace") ?? "",
    name: c.req.param("name") ?? "",
  });
}

export function typeOf(c: HubContext): RepoType {
  return (c.req.param("types") ?? "models").slice(0, -1) as RepoType;
}
