// The OpenAPI operations of the streaming routes. Runs on: Deno, edge runtime.
import type { DescribeRouteOptions } from "hono-openapi";
import { z } from "zod";
import {
  empty,
  failed,
  header,
  healthOperation,
  json,
  malIdParameter,
  notAcceptable,
  problemResponse,
  queryParameter,
  rateLimit,
  unavailable,
} from "../_shared/openapi.ts";
import { episodeResponseSchema } from "./episode_schema.ts";

const denyListSchema = z.strictObject({
  payload: z.string().describe(
    'JSON: {"issued_at": unix seconds, "titles": [mal_id], "episodes": [[mal_id, episode]]}',
  ),
  sig: z.string().describe("kid.mac over the payload's bytes"),
}).meta({ ref: "DenyList" });

export const health = healthOperation("streamingHealth", [
  queryParameter(
    "deep",
    { enum: ["1"] },
    "Also checks the Worker: whether it is reachable and has the same signing key.",
  ),
]);

export const takedowns: DescribeRouteOptions = {
  operationId: "listTakedowns",
  summary: "The deny list of takedowns, signed with STREAM_SIGNING_KEYS, for the Worker",
  responses: {
    200: json(denyListSchema, "Done", { "cache-control": header("public, for seconds") }),
    406: notAcceptable,
    500: failed,
    503: unavailable,
  },
};

function episode(operationId: string, more: DescribeRouteOptions["responses"] = {}): DescribeRouteOptions {
  return {
    operationId,
    summary: "The servers of an episode",
    parameters: [
      malIdParameter,
      { name: "episode", in: "path", required: true, schema: { type: "integer", minimum: 1, maximum: 100000 } },
      queryParameter(
        "refresh",
        { enum: ["1"] },
        "The caller met a dead URL: lists older than a minute are read again before the response.",
      ),
      queryParameter(
        "peek",
        { enum: ["1"] },
        "Returns what is cached: no provider is read and nothing is enqueued. The same applies to HEAD, and to a GET with " +
          "`Sec-Purpose: prefetch`, `Purpose: prefetch` or `X-Purpose: preview`.",
      ),
    ],
    responses: {
      200: json(
        episodeResponseSchema,
        "Servers by provider. A provider that fails is null in `data` and explained in `providers`.",
        {
          ...rateLimit,
          etag: header("Weak: unchanged while servers, their archives and the states of the providers are."),
          "server-timing": header("Time, and round trips to the database"),
        },
      ),
      ...more,
      400: problemResponse("A number is out of range"),
      406: notAcceptable,
      429: problemResponse("Too many requests by this client", { "retry-after": header("Seconds"), ...rateLimit }),
      451: problemResponse("The title or the episode has been taken down"),
      500: failed,
      503: unavailable,
    },
  };
}

export const getEpisode = episode("getEpisode", { 304: empty("Not modified (If-None-Match)", rateLimit) });
export const invokeEpisode = episode("invokeEpisode");
