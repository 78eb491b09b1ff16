// Parts of the OpenAPI operations that both functions declare next to their routes. `deno task openapi` generates the document from
// them; openapi.json is its output, so that a function neither builds nor converts anything to serve it. Runs on: Deno, edge runtime.
import type { Context } from "hono";
import { type DescribeRouteOptions, resolver } from "hono-openapi";
import { z } from "zod";
import document from "./openapi.json" with { type: "json" };

type Responses = NonNullable<DescribeRouteOptions["responses"]>;
type Parameter = NonNullable<DescribeRouteOptions["parameters"]>[number];

export const httpUrl = z.string().regex(/^[Hh][Tt][Tt][Pp][Ss]?:\/\//);

/** A successful body without data; `.extend` it with some. */
export const success = z.strictObject({ success: z.literal(true) });

export const problemSchema = z.looseObject({
  type: z.string(),
  title: z.string(),
  status: z.number().int(),
  detail: z.string(),
  code: z.string().describe("Stable, for programs."),
  success: z.literal(false),
  error: z.string().describe("The same as detail."),
  request_id: z.string(),
}).meta({ ref: "Problem", description: "RFC 9457 problem document." });

const healthSchema = success.meta({ ref: "Health" });

export const header = (description: string) => ({ description, schema: { type: "string" as const } });

const requestId = { "x-request-id": header("The caller's id, or a new one; also in the log.") };

export const rateLimit = {
  "ratelimit-policy": header('draft-ietf-httpapi-ratelimit-headers: `"client";q=120;w=60`'),
  ratelimit: header('`"client";r=119;t=1`: requests left, and seconds until all are back'),
};

type Headers = Readonly<Record<string, ReturnType<typeof header>>>;

/** A response with a JSON body. */
export function json(schema: z.ZodType, description = "Done", headers: Headers = {}): Responses[string] {
  return {
    description,
    headers: { ...requestId, ...headers },
    content: { "application/json": { schema: resolver(schema) } },
  };
}

/** A response without a body. */
export function empty(description: string, headers: Headers = {}): Responses[string] {
  return { description, headers: { ...requestId, ...headers } };
}

export function problemResponse(description: string, headers: Headers = {}): Responses[string] {
  return {
    description,
    headers: { ...requestId, ...headers },
    content: { "application/problem+json": { schema: resolver(problemSchema) } },
  };
}

export const notAcceptable = problemResponse("The caller does not accept JSON");
export const failed = problemResponse("The request failed; it is logged with its id");
export const unavailable = problemResponse("The database is unavailable", { "retry-after": header("Seconds") });

export const malIdParameter: Parameter = {
  name: "malId",
  in: "path",
  required: true,
  schema: { type: "integer", minimum: 1, maximum: 2147483647 },
};

export function queryParameter(name: string, schema: object, description?: string): Parameter {
  return { name, in: "query", schema, ...(description !== undefined && { description }) };
}

export function healthOperation(operationId: string, parameters: Parameter[] = []): DescribeRouteOptions {
  return {
    operationId,
    summary: "Whether the function works: the database accepts its key. Cached for 5 s.",
    parameters,
    responses: {
      200: json(healthSchema),
      406: notAcceptable,
      503: problemResponse("It does not; `detail` says why and what to do", { "retry-after": header("Seconds") }),
    },
  };
}

/** Serves the document of both functions. */
export function serveOpenApi(c: Context): Response {
  return c.json(document, 200, { "cache-control": "public, max-age=300" });
}
