// The Cloudflare Worker: GET|HEAD /proxy?url=…, /health, OPTIONS. It serves no page (see ../web).
// Runs on: workerd.
import { redactText } from "../core/redact.ts";
import { handle } from "./app.ts";
import { ConfigError, type Env, readConfig } from "./env.ts";
import { health } from "./health.ts";
import { problem } from "./http/problem.ts";

export default {
  async fetch(request: Request, env: Env, context: ExecutionContext): Promise<Response> {
    try {
      return await handle(request, { env, config: readConfig(env), context });
    } catch (error) {
      // Names of variables and what is wrong with them, never a value.
      if (error instanceof ConfigError && new URL(request.url).pathname === "/health") return health(error.problems);
      // The boundary: the reason goes to the Worker's log, never to the viewer.
      console.error(JSON.stringify({ event: "request:failed", error: redactText(String(error)) }));
      return problem({ status: 500, code: "internal", detail: "the proxy failed; its log says why" });
    }
  },
};
