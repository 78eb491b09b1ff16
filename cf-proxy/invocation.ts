/** What one request of the Worker is handled with: bindings, parsed configuration, and the runtime's context. */
import type { Config, Env } from "./env.ts";

export interface Invocation {
  readonly env: Env;
  readonly config: Config;
  readonly context: ExecutionContext;
}
