import type { Config, Env } from "./env.ts";

/** What the handling of one request has access to: bindings, parsed configuration, the runtime's context. */
export interface Invocation {
  readonly env: Env;
  readonly config: Config;
  readonly context: ExecutionContext;
}
