// Administration of a Space: secrets (written, never read back), variables, and its running state.
// Example: POST /api/spaces/alice/runner/secrets {"key":"HF_FILE_SALT","value":"…"}.

import { Hono } from "hono";
import { repoOf } from "./requested_repo.ts";
import type { Repo, SpaceState } from "./repos.ts";
import { findReadable, findWritable, type HubContext, type HubEnv, type HubState, operation } from "./state.ts";

export function spaceRoutes(state: HubState): Hono<HubEnv> {
  const app = new Hono<HubEnv>();
  const at = (rest: string) => `/:types{spaces}/:namespace/:name/${rest}`;
  for (const kind of ["secrets", "variables"] as const) {
    app.get(at(kind), operation(state, "space"), (c) => readEntries(c, state, kind));
    app.post(at(kind), operation(state, "space"), (c) =>
      change(c, state, (space, { key, value }) => {
        space[kind][key] = { value, updatedAt: new Date(state.now() * 1000).toISOString() };
      }));
    app.delete(
      at(kind),
      operation(state, "space"),
      (c) => change(c, state, (space, { key }) => delete space[kind][key]),
    );
  }
  app.get(at("runtime"), operation(state, "space"), (c) => {
    const repo = findReadable(c, repoOf(c, state));
    return repo instanceof Response ? repo : c.json(runtimeOf(spaceOf(repo)));
  });
  app.post(at("restart"), operation(state, "space"), (c) => change(c, state, (space) => space.stage = "RUNNING"));
  app.post(at("pause"), operation(state, "space"), (c) => change(c, state, (space) => space.stage = "PAUSED"));
  app.post(
    at("sleeptime"),
    operation(state, "space"),
    (c) => change(c, state, (space, { seconds }) => space.sleepSeconds = Number(seconds)),
  );
  return app;
}

function readEntries(c: HubContext, state: HubState, kind: "secrets" | "variables"): Response {
  const repo = findWritable(c, repoOf(c, state));
  if (repo instanceof Response) return repo;
  const entries = Object.entries(spaceOf(repo)[kind]).map(([key, { value, updatedAt }]) => [
    key,
    kind === "secrets" ? { key, updatedAt } : { key, value, updatedAt },
  ]);
  return c.json(Object.fromEntries(entries));
}

async function change(
  c: HubContext,
  state: HubState,
  // deno-lint-ignore no-explicit-any
  apply: (space: SpaceState, body: any) => void,
): Promise<Response> {
  const repo = findWritable(c, repoOf(c, state));
  if (repo instanceof Response) return repo;
  apply(spaceOf(repo), await c.req.json().catch(() => ({}))); // restart and pause have no body
  await state.repos.save(repo);
  return c.json(runtimeOf(spaceOf(repo)));
}

function spaceOf(repo: Repo): SpaceState {
  return repo.space ??= { secrets: {}, variables: {}, stage: "RUNNING", sleepSeconds: null };
}

function runtimeOf(space: SpaceState) {
  return {
    stage: space.stage,
    hardware: { current: "cpu-basic", requested: "cpu-basic" },
    gcTimeout: space.sleepSeconds,
    replicas: { current: space.stage === "RUNNING" ? 1 : 0, requested: 1 },
  };
}
