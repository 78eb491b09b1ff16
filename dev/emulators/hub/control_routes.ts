// Controls a hub that runs as a separate program: POST /.control/failures {name} | {at,effect,…} | {chaos:{seed,rate}} | {clear:true},
// POST /.control/users {name, state, …}, GET /.control/calls.

import { Hono } from "hono";
import { FAILURES } from "./failures.ts";
import type { HubEnv, HubState } from "./state.ts";

export function controlRoutes(state: HubState): Hono<HubEnv> {
  const app = new Hono<HubEnv>();
  app.get("/calls", (c) => c.json(state.calls));
  app.get("/failures", (c) => c.json(Object.keys(FAILURES)));
  app.post("/failures", async (c) => {
    const { name, clear, chaos, ...rule } = await c.req.json();
    if (clear) state.failures.clear();
    else if (chaos !== undefined) state.failures.chaos(chaos);
    else if (name === undefined) state.failures.add(rule);
    else if (name in FAILURES) state.failures.add({ ...FAILURES[name as keyof typeof FAILURES], ...rule });
    else return c.json({ error: `no failure is called ${name}`, known: Object.keys(FAILURES) }, 404);
    return c.json({ ok: true });
  });
  app.post("/users", async (c) => {
    const { name, ...changes } = await c.req.json();
    const user = state.users.find((candidate) => candidate.name === name);
    if (!user) return c.json({ error: `no user ${name}` }, 404);
    Object.assign(user, changes);
    return c.json({ ok: true });
  });
  return app;
}
