// Middleware of both functions: request id, nosniff, 406 and 405.
// Example: app.use(commonMiddleware, methodNotAllowed(app)); app.notFound((c) => notFound(c, "ask for …")). Runs on: Deno, edge runtime.
import type { Context, Hono, MiddlewareHandler } from "hono";
import { methodNotAllowed } from "hono/method-not-allowed";
import { problem } from "./problem.ts";

declare module "hono" {
  interface ContextVariableMap {
    requestId: string;
  }
}

/**
 * Keeps the caller's request id, so that it can be found in both logs, if it is a plain word of 8 to 64 characters.
 * hono/request-id has no minimum length and refuses `.` and `:` (docs/decisions/0016-hono.md).
 */
export const commonMiddleware: MiddlewareHandler = async (c, next) => {
  const given = c.req.header("x-request-id") ?? "";
  c.set("requestId", /^[\w.:-]{8,64}$/.test(given) ? given : crypto.randomUUID());
  c.header("x-request-id", c.get("requestId"));
  c.header("x-content-type-options", "nosniff");
  if (acceptsJson(c.req.header("accept"))) return await next();
  return problem(c, { status: 406, code: "not_acceptable", detail: "responses are application/json" });
};

/** RFC 9110 section 12.5.1: no Accept header accepts everything. */
export function acceptsJson(header: string | undefined): boolean {
  if (header === undefined || header.trim() === "") return true;
  return header.split(",").some((range) => {
    const [type = "", ...parameters] = range.split(";").map((part) => part.trim().toLowerCase());
    const refused = parameters.some((parameter) => /^q=0(?:\.0{0,3})?$/.test(parameter));
    return !refused && /^(?:\*\/\*|application\/(?:\*|json|problem\+json))$/.test(type);
  });
}

/** 405 with the methods of the path. */
export function refuseOtherMethods(app: Hono): MiddlewareHandler {
  return methodNotAllowed({
    app,
    onMethodNotAllowed(c: Context, methods: string[]) {
      const allow = methods.sort().join(", ");
      return problem(c, {
        status: 405,
        code: "method_not_allowed",
        detail: `this path takes ${allow}`,
        headers: { allow },
      });
    },
  });
}
