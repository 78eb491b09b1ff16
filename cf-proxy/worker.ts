// The Cloudflare Worker: GET and HEAD /proxy?url=…, GET /health, OPTIONS. It serves no page (see ../web).
import { redactText } from "../core/redact.ts";
import { handle } from "./app.ts";
import { ConfigError, type Env, readConfig } from "./env.ts";
import { health } from "./health.ts";
import { problemResponse } from "./http/problem.ts";

export default {
  async fetch(request: Request, env: Env, context: ExecutionContext): Promise<Response> {
    try {
      return await handle(request, { env, config: readConfig(env), context });
    } catch (error) {
      // The issues name variables, never their values, so they may be public.
      if (error instanceof ConfigError && new URL(request.url).pathname === "/health") return health(error.issues);
      // The reason goes to the Worker's log only: it may contain URLs.
      console.error(JSON.stringify({ event: "request:failed", error: redactText(String(error)) }));
      return problemResponse({ status: 500, code: "internal", detail: "the proxy failed; see its log for the reason" });
    }
  },
};
