// The OpenAPI operations of the operator routes. Runs on: Deno, edge runtime.
import type { DescribeRouteOptions } from "hono-openapi";
import { z } from "zod";
import {
  failed,
  header,
  healthOperation,
  json,
  malIdParameter,
  notAcceptable,
  problemResponse,
  queryParameter,
  success,
  unavailable,
} from "../_shared/openapi.ts";
import { videoSchema } from "../_shared/video.ts";

const count = z.number().int();
const names = z.array(z.string());

const countsSchema = success.extend({
  counts: z.strictObject({
    pending: count,
    downloading: count,
    uploading: count,
    ready: count,
    failed: count,
    archived: count.describe("Rows of video_store"),
    due: count,
    delayed: count,
    expired: count,
    dead: count,
    repairs: count,
    oldest_due_at: z.string().nullable(),
    sweep_age_seconds: z.number().nullable().describe("Seconds since the last sweep; null: there was none"),
    notification: z.strictObject({
      at: z.string(),
      status_code: z.number().int().nullable(),
      error: z.string().nullable(),
    }).nullable().describe("Outcome of the runner's last notification; null: there was none"),
    clearing_error: z.string().nullable().describe("Why the last sweep could not delete old rows"),
  }),
}).meta({ ref: "Counts" });

const videosSchema = success.extend({ videos: z.array(videoSchema.strict()), next: z.string().nullable() })
  .meta({ ref: "Videos" });
const oneVideoSchema = success.extend({ video: videoSchema.strict() }).meta({ ref: "Video" });
const retriedSchema = success.extend({ retried: count }).meta({ ref: "Retried" });
const catalogueReportSchema = success.extend({
  report: z.strictObject({ added: count, changed: count, unchanged: count, dry_run: z.boolean() }),
}).meta({ ref: "CatalogueReport" });
const providersReportSchema = success.extend({
  report: z.strictObject({ added: names, changed: names, removed: names, unchanged: names, dry_run: z.boolean() }),
}).meta({ ref: "ProvidersReport" });
const providersSchema = success.extend({
  providers: z.array(z.looseObject({ name: z.string(), recipe: z.string() })),
}).meta({ ref: "Providers" });
const mappingSchema = success.extend({
  mal_id: count,
  provider: z.string(),
  page: z.string().nullable().describe("null: searched for and not found."),
  by_operator: z.boolean().optional(),
  expires_at: z.string().nullable().optional(),
}).meta({ ref: "Mapping" });

const badInput = { 400: problemResponse("The input is invalid; `problems` names lines") };
const badBody = {
  ...badInput,
  413: problemResponse("More than 8 MB"),
  415: problemResponse("Neither JSON nor CSV"),
};
const dryRun = queryParameter("dry_run", { enum: ["1", "true"] }, "Report, write nothing.");
const idParameter = { name: "id", in: "path", required: true, schema: { type: "string", format: "uuid" } } as const;
const mappingParameters = [
  malIdParameter,
  { name: "provider", in: "path", required: true, schema: { type: "string" } } as const,
];
const bodyOf = (...types: readonly string[]) => ({
  required: true,
  content: Object.fromEntries(types.map((type) => [type, { schema: {} }])),
});

interface Operation extends DescribeRouteOptions {
  /** Body of the successful response. */
  readonly schema: z.ZodType;
}

function operator({ schema, responses, ...operation }: Operation): DescribeRouteOptions {
  return {
    ...operation,
    security: [{ secretKey: [] }, { bearer: [] }],
    responses: {
      200: json(schema),
      401: problemResponse("No secret key", { "www-authenticate": header("Bearer") }),
      406: notAcceptable,
      500: failed,
      503: unavailable,
      ...responses,
    },
  };
}

export const health = healthOperation("archiveHealth");

export const getCounts = operator({
  operationId: "getCounts",
  summary: "Counts of waiting, running, dead and archived videos",
  schema: countsSchema,
});

export const listVideos = operator({
  operationId: "listVideos",
  summary: "Jobs, most recently changed first",
  schema: videosSchema,
  responses: badInput,
  parameters: [
    queryParameter("status", { enum: ["pending", "downloading", "uploading", "ready", "failed"] }),
    queryParameter("mal_id", { type: "integer" }),
    queryParameter("limit", { type: "integer", minimum: 1, maximum: 500, default: 100 }),
    queryParameter("cursor", { type: "string" }, "`next` of the previous page"),
  ],
});

export const retryFailed = operator({
  operationId: "retryFailed",
  summary: "Puts every failed video back in the queue",
  schema: retriedSchema,
});

export const retryVideo = operator({
  operationId: "retryVideo",
  summary: "Puts a failed video back in the queue",
  schema: oneVideoSchema,
  parameters: [idParameter],
  responses: { ...badInput, 409: problemResponse("There is no failed video with this id") },
});

export const cancelVideo = operator({
  operationId: "cancelVideo",
  summary: "Cancels a video's job",
  schema: oneVideoSchema,
  parameters: [idParameter],
  responses: {
    ...badInput,
    404: problemResponse("There is no such video"),
    422: problemResponse("It is already archived"),
  },
});

export const importCatalogue = operator({
  operationId: "importCatalogue",
  summary: "Adds or changes episodes of the catalogue; a JSON list or CSV of up to 5,000",
  schema: catalogueReportSchema,
  parameters: [dryRun],
  responses: badBody,
  requestBody: bodyOf("application/json", "text/csv"),
});

export const listProviders = operator({
  operationId: "listProviders",
  summary: "The provider list",
  schema: providersSchema,
});

export const applyProviders = operator({
  operationId: "applyProviders",
  summary: "Replaces the provider list",
  schema: providersReportSchema,
  parameters: [dryRun],
  responses: badBody,
  requestBody: bodyOf("application/json"),
});

export const getMapping = operator({
  operationId: "getMapping",
  summary: "The page of a title at a provider, as set by the operator or found by a search",
  schema: mappingSchema,
  parameters: mappingParameters,
  responses: { ...badInput, 404: problemResponse("The title is not mapped") },
});

export const mapTitle = operator({
  operationId: "mapTitle",
  summary: 'Sets the page of a title at a provider; {"page": null} deletes it',
  schema: mappingSchema,
  parameters: mappingParameters,
  responses: badBody,
  requestBody: bodyOf("application/json"),
});
