// What every answer of both functions has in common: a request id, no sniffing of types, 405 and 406 where they are due.
// Example: app.use(manners); app.notFound((c) => noRoute(c, app.routes, "ask for …")). Runs on: Deno, edge runtime.
import type { Context, MiddlewareHandler } from "hono";
import { problem } from "./problem.ts";

declare module "hono" {
  interface ContextVariableMap {
    requestId: string;
  }
}

/** The caller's own id is kept, so that it can be found in both logs; what is no plain word is replaced. */
export const manners: MiddlewareHandler = async (c, next) => {
  const given = c.req.header("x-request-id") ?? "";
  c.set("requestId", /^[\w.:-]{8,64}$/.test(given) ? given : crypto.randomUUID());
  c.header("x-request-id", c.get("requestId"));
  c.header("x-content-type-options", "nosniff");
  if (acceptsJson(c.req.header("accept"))) return await next();
  return problem(c, { status: 406, code: "not_acceptable", detail: "answers are application/json" });
};

/** RFC 9110, 12.5.1; an absent header accepts everything. */
export function acceptsJson(header: string | undefined): boolean {
  if (header === undefined || header.trim() === "") return true;
  return header.split(",").some((range) => {
    const [type = "", ...parameters] = range.split(";").map((part) => part.trim().toLowerCase());
    const refused = parameters.some((parameter) => /^q=0(?:\.0{0,3})?$/.test(parameter));
    return !refused && /^(?:\*\/\*|application\/(?:\*|json|problem\+json))$/.test(type);
  });
}

/** 405 with the methods that the path has, else 404. */
export function noRoute(c: Context, routes: readonly { method: string; path: string }[], detail: string): Response {
  const methods = new Set(
    routes.filter(({ method, path }) => method !== "ALL" && fits(path, c.req.path)).map((one) => one.method),
  );
  if (methods.size === 0) return problem(c, { status: 404, code: "not_found", detail });
  if (methods.has("GET")) methods.add("HEAD");
  const allow = [...methods].sort().join(", ");
  return problem(c, {
    status: 405,
    code: "method_not_allowed",
    detail: `this path takes ${allow}`,
    headers: { allow },
  });
}

function fits(route: string, path: string): boolean {
  const [wanted, given] = [route.split("/"), path.split("/")];
  return wanted.length === given.length && wanted.every((part, index) => part.startsWith(":") || part === given[index]);
}
