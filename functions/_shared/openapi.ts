// The OpenAPI 3.1 document of both functions. Schemas are zod's, so that tests hold real answers against the very same text.
// Served at /streaming/openapi.json and /archive/openapi.json; docs/openapi.json is its copy. Runs on: Deno, edge runtime.
import { z } from "zod";
import { chapterSchema, subtitleSchema } from "../../sources/source_list.ts";

export const publicServerSchema = z.strictObject({
  provider: z.string().describe("The server's name as shown: the site's label, or host and resolution."),
  url: z.string().describe("The embed page; the archive's address where only the archive is left."),
  url_resolved: z.string().nullable().describe(
    "The media's own address, or the archive's once it is ready; null where nothing playable was found.",
  ),
  resolution: z.string().nullable().describe("`720p`, or null where the site does not say."),
  stream: z.string().nullable().describe("Signed proxy link to play; null where nothing playable was found."),
  kind: z.string().nullable().describe("mp4, hls, mkv, webm or mega (decrypted by the proxy)."),
  archived: z.boolean().describe("Whether `stream` leads to the operator's archive."),
  archive: z.strictObject({
    state: z.string().describe("pending, downloading, uploading, ready or failed."),
    progress: z.unknown().describe("While a copy is made: phase and bytes; 1 when ready."),
  }).nullable().describe("null where no copy is wanted, for example without a rights ground."),
  expires_at: z.iso.datetime().nullable().describe("When `stream` stops working; ask again then."),
  subtitles: z.array(subtitleSchema),
  chapters: z.array(chapterSchema).optional(),
  code: z.string().optional().describe(
    "Why there is no `stream`: http_4xx, blocked, timeout, gone, quota, subscription, …",
  ),
});

export const providerStateSchema = z.strictObject({
  state: z.enum(["ok", "empty", "failed", "timeout"]),
  code: z.string().optional().describe(
    "no_mapping, empty, http_4xx, http_5xx, blocked, robots, provider_timeout, parse, …",
  ),
  took_ms: z.number().int(),
  cached: z.boolean(),
  age_seconds: z.number().int().optional().describe("How old the list or the failure is, where it is from the cache."),
  retry_after_seconds: z.number().int().optional().describe(
    "When asking again may find more: until then the failure is answered at once, and the site is not asked.",
  ),
});

export const publicAnswerSchema = z.strictObject({
  success: z.literal(true),
  mal_id: z.number().int(),
  episode: z.number().int(),
  title: z.string().nullable(),
  data: z.record(z.string(), z.array(publicServerSchema).nullable()),
  providers: z.record(z.string(), providerStateSchema),
});

export const problemSchema = z.looseObject({
  type: z.string(),
  title: z.string(),
  status: z.number().int(),
  detail: z.string(),
  code: z.string().describe("Stable, for programs."),
  success: z.literal(false),
  error: z.string().describe("The same as detail."),
}).describe("RFC 9457 problem document.");

const schemas = {
  Answer: publicAnswerSchema,
  Server: publicServerSchema,
  ProviderState: providerStateSchema,
  Problem: problemSchema,
};

const problem = (description: string) => ({
  description,
  content: { "application/problem+json": { schema: { $ref: "#/components/schemas/Problem" } } },
});

const episodeParameters = [
  { name: "malId", in: "path", required: true, schema: { type: "integer", minimum: 1, maximum: 2147483647 } },
  { name: "episode", in: "path", required: true, schema: { type: "integer", minimum: 1, maximum: 100000 } },
  {
    name: "refresh",
    in: "query",
    schema: { enum: ["1"] },
    description: "The caller met a dead address: lists older than a minute are read again before the answer.",
  },
];

const episodeOperation = (operationId: string) => ({
  operationId,
  summary: "Where an episode plays, now",
  parameters: episodeParameters,
  responses: {
    200: {
      description: "Servers per provider. A provider that fails is null in `data` and explained in `providers`.",
      content: { "application/json": { schema: { $ref: "#/components/schemas/Answer" } } },
    },
    400: problem("A number is out of range"),
    429: problem("Too many requests of this client; Retry-After says when"),
    503: problem("The database does not answer"),
  },
});

const json = (description: string) => ({
  description,
  content: { "application/json": { schema: { type: "object" } } },
});
const operatorProblems = { 400: problem("The input cannot be used"), 401: problem("No secret key") };
const dryRun = { name: "dry_run", in: "query", schema: { enum: ["1", "true"] }, description: "Report, write nothing." };
const idParameter = { name: "id", in: "path", required: true, schema: { type: "string", format: "uuid" } };

const operator = (operationId: string, summary: string, more: Readonly<Record<string, unknown>> = {}) => ({
  operationId,
  summary,
  security: [{ secretKey: [] }, { bearer: [] }],
  responses: { 200: json("Done"), ...operatorProblems },
  ...more,
});

const body = (...types: readonly string[]) => ({
  requestBody: { required: true, content: Object.fromEntries(types.map((type) => [type, { schema: {} }])) },
});

const health = (operationId: string) => ({
  operationId,
  summary: "Whether the function runs",
  responses: { 200: json("It does") },
});

/** Plain data: what JSON.stringify makes of it is the document. */
export const openApiDocument = {
  openapi: "3.1.0",
  info: {
    title: "keepstream",
    version: "1",
    description: "Supabase: prefix /functions/v1. Deno Deploy: prefix /api/v1.",
    license: { name: "MIT", identifier: "MIT" },
  },
  paths: {
    "/streaming/health": { get: health("streamingHealth") },
    "/streaming/{malId}/{episode}": { get: episodeOperation("getEpisode"), post: episodeOperation("invokeEpisode") },
    "/archive/health": { get: health("archiveHealth") },
    "/archive/counts": { get: operator("getCounts", "What waits, runs, is dead and is stored") },
    "/archive/videos": {
      get: operator("listVideos", "Jobs, the last changed first", {
        parameters: [
          { name: "status", in: "query", schema: { enum: ["pending", "downloading", "uploading", "ready", "failed"] } },
          { name: "mal_id", in: "query", schema: { type: "integer" } },
          { name: "limit", in: "query", schema: { type: "integer", minimum: 1, maximum: 500, default: 100 } },
        ],
      }),
    },
    "/archive/videos/retry": { post: operator("retryFailed", "Put every failed video back in the queue") },
    "/archive/videos/{id}/retry": {
      post: operator("retryVideo", "Put one failed video back in the queue", {
        parameters: [idParameter],
        responses: { 200: json("Done"), ...operatorProblems, 409: problem("There is no failed video of this id") },
      }),
    },
    "/archive/videos/{id}/cancel": {
      post: operator("cancelVideo", "Stop wanting a video", {
        parameters: [idParameter],
        responses: { 200: json("Done"), ...operatorProblems, 404: problem("No such video") },
      }),
    },
    "/archive/catalogue": {
      post: operator("importCatalogue", "Add or change episodes of one's own; JSON list or CSV", {
        parameters: [dryRun],
        ...body("application/json", "text/csv"),
      }),
    },
    "/archive/providers": {
      get: operator("listProviders", "The provider list"),
      post: operator("applyProviders", "Replace the provider list", {
        parameters: [dryRun],
        ...body("application/json"),
      }),
    },
    "/archive/mappings/{malId}/{provider}": {
      put: operator("mapTitle", 'Say where a title lives at a provider; {"page": null} forgets it', {
        parameters: [episodeParameters[0], {
          name: "provider",
          in: "path",
          required: true,
          schema: { type: "string" },
        }],
        ...body("application/json"),
      }),
    },
  },
  components: {
    schemas: Object.fromEntries(
      Object.entries(schemas).map(([name, schema]) => {
        const { $schema: _dialect, ...plain } = z.toJSONSchema(schema);
        return [name, plain];
      }),
    ),
    securitySchemes: {
      secretKey: {
        type: "apiKey",
        in: "header",
        name: "apikey",
        description: "A secret key of the project, sb_secret_…",
      },
      bearer: { type: "http", scheme: "bearer" },
    },
  },
};
