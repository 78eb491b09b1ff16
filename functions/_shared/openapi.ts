// The OpenAPI 3.1 document of both functions. Schemas are zod's, so that tests hold real answers against the very same text.
// Served at /streaming/openapi.json and /archive/openapi.json; docs/reference/openapi.json is its copy. Runs on: Deno, edge runtime.
import { z } from "zod";
import { videoSchema } from "./video.ts";
import { chapterSchema, subtitleSchema } from "../../sources/source_list.ts";

const httpUrl = z.string().regex(/^[Hh][Tt][Tt][Pp][Ss]?:\/\//);

export const publicServerSchema = z.strictObject({
  provider: z.string().describe("The server's name as shown: the site's label, or host and resolution."),
  url: httpUrl.describe("The embed page; the archive's address where only the archive is left."),
  url_resolved: httpUrl.nullable().describe(
    "The media's own address, or the archive's once it is ready; null where nothing playable was found.",
  ),
  resolution: z.string().nullable().describe("`720p`, or null where the site does not say."),
  stream: httpUrl.nullable().describe("Signed proxy link to play; null where nothing playable was found."),
  kind: z.string().nullable().describe("mp4, hls, mkv, webm or mega (decrypted by the proxy)."),
  archived: z.boolean().describe("Whether `stream` leads to the operator's archive."),
  archive: z.strictObject({
    state: z.string().describe("pending, downloading, uploading, ready or failed."),
    progress: z.unknown().describe("While a copy is made: phase and bytes; 1 when ready."),
  }).nullable().describe("null where no copy is wanted, for example without a rights ground."),
  expires_at: z.iso.datetime().nullable().describe("When `stream` stops working; ask again then."),
  subtitles: z.array(subtitleSchema.extend({ url: httpUrl })),
  chapters: z.array(chapterSchema).optional(),
  code: z.string().optional().describe(
    "Why there is no `stream`: http_4xx, blocked, timeout, gone, quota, subscription, taken_down, …",
  ),
});

export const providerStateSchema = z.strictObject({
  state: z.enum(["ok", "empty", "failed", "timeout", "unknown"]).describe("unknown: nothing was read (`not_read`)."),
  code: z.string().optional().describe(
    "no_mapping, empty, http_4xx, http_5xx, blocked, robots, provider_timeout, parse, not_read, …",
  ),
  took_ms: z.number().int(),
  cached: z.boolean(),
  age_seconds: z.number().int().optional().describe("How old the list or the failure is, where it is from the cache."),
  retry_after_seconds: z.number().int().optional().describe(
    "When asking again may find more: until then the failure is answered at once, and the site is not asked.",
  ),
});

export const episodeResponseSchema = z.strictObject({
  success: z.literal(true),
  mal_id: z.number().int(),
  episode: z.number().int(),
  title: z.string().nullable(),
  detail: z.string().optional().describe(
    "Why this is not more: `read-only: …` while the database accepts no writes, is slow or locked.",
  ),
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
  request_id: z.string(),
}).describe("RFC 9457 problem document.");

const answered = z.strictObject({ success: z.literal(true) });
const count = z.number().int();
const names = z.array(z.string());

const schemas = {
  Answer: episodeResponseSchema,
  Server: publicServerSchema,
  ProviderState: providerStateSchema,
  Problem: problemSchema,
  Health: answered,
  DenyList: z.strictObject({
    payload: z.string().describe(
      'JSON: {"issued_at": unix seconds, "titles": [mal_id], "episodes": [[mal_id, episode]]}',
    ),
    sig: z.string().describe("kid.mac over the payload's bytes"),
  }),
  Counts: answered.extend({
    counts: z.strictObject({
      pending: count,
      downloading: count,
      uploading: count,
      ready: count,
      failed: count,
      archived: count.meta({ description: "Rows of video_store" }),
      due: count,
      delayed: count,
      expired: count,
      dead: count,
      repairs: count,
      oldest_due_at: z.string().nullable(),
      sweep_age_seconds: z.number().nullable().meta({
        description: "Seconds since the last sweep; null: there was none",
      }),
      notification: z.strictObject({
        at: z.string(),
        status_code: z.number().int().nullable(),
        error: z.string().nullable(),
      }).nullable().meta({ description: "What came of the last notification of the runner; null: there was none" }),
      clearing_error: z.string().nullable().meta({ description: "Why the last sweep could not drop what is old" }),
    }),
  }),
  Videos: answered.extend({ videos: z.array(videoSchema.strict()), next: z.string().nullable() }),
  Video: answered.extend({ video: videoSchema.strict() }),
  Retried: answered.extend({ retried: count }),
  CatalogueReport: answered.extend({
    report: z.strictObject({ added: count, changed: count, unchanged: count, dry_run: z.boolean() }),
  }),
  ProvidersReport: answered.extend({
    report: z.strictObject({ added: names, changed: names, removed: names, unchanged: names, dry_run: z.boolean() }),
  }),
  Providers: answered.extend({ providers: z.array(z.looseObject({ name: z.string(), recipe: z.string() })) }),
  Mapping: answered.extend({
    mal_id: count,
    provider: z.string(),
    page: z.string().nullable().describe("null: looked for, and not there."),
    by_operator: z.boolean().optional(),
    expires_at: z.string().nullable().optional(),
  }),
};

const header = (description: string) => ({ description, schema: { type: "string" } });
const requestId = { "x-request-id": header("The caller's own, or a new one: the same stands in the log.") };
const rateLimit = {
  "ratelimit-policy": header('draft-ietf-httpapi-ratelimit-headers: `"client";q=120;w=60`'),
  ratelimit: header('`"client";r=119;t=1`: requests left, and seconds until all are back'),
};

const problem = (description: string, headers: Readonly<Record<string, unknown>> = {}) => ({
  description,
  headers: { ...requestId, ...headers },
  content: { "application/problem+json": { schema: { $ref: "#/components/schemas/Problem" } } },
});

const notAcceptable = problem("The caller accepts no JSON");
const failed = problem("The request failed; it is logged under its id");
const unavailable = problem("The database does not answer", { "retry-after": header("Seconds") });

const episodeParameters = [
  { name: "malId", in: "path", required: true, schema: { type: "integer", minimum: 1, maximum: 2147483647 } },
  { name: "episode", in: "path", required: true, schema: { type: "integer", minimum: 1, maximum: 100000 } },
  {
    name: "refresh",
    in: "query",
    schema: { enum: ["1"] },
    description: "The caller met a dead address: lists older than a minute are read again before the answer.",
  },
  {
    name: "peek",
    in: "query",
    schema: { enum: ["1"] },
    description:
      "What is known already: no provider is read and nothing is enqueued. So is HEAD, and a GET that says " +
      "`Sec-Purpose: prefetch`, `Purpose: prefetch` or `X-Purpose: preview`.",
  },
];

const unchanged = { 304: { description: "As it was, by If-None-Match", headers: { ...requestId, ...rateLimit } } };

const episodeOperation = (operationId: string, more: Readonly<Record<number, unknown>> = {}) => ({
  operationId,
  summary: "Where an episode plays, now",
  parameters: episodeParameters,
  responses: {
    200: {
      description: "Servers per provider. A provider that fails is null in `data` and explained in `providers`.",
      headers: {
        ...requestId,
        ...rateLimit,
        etag: header("Weak: the same while servers, their archives and the providers' states are the same."),
        "server-timing": header("Time, and round trips to the database"),
      },
      content: { "application/json": { schema: { $ref: "#/components/schemas/Answer" } } },
    },
    ...more,
    400: problem("A number is out of range"),
    406: notAcceptable,
    429: problem("Too many requests of this client", { "retry-after": header("Seconds"), ...rateLimit }),
    451: problem("The title or the episode has been taken down"),
    500: failed,
    503: unavailable,
  },
});

const json = (schema: keyof typeof schemas) => ({
  description: "Done",
  headers: requestId,
  content: { "application/json": { schema: { $ref: `#/components/schemas/${schema}` } } },
});
const operatorProblems = {
  401: problem("No secret key", { "www-authenticate": header("Bearer") }),
  406: notAcceptable,
  500: failed,
  503: unavailable,
};
const badInput = { 400: problem("The input cannot be used; `problems` names lines") };
const badBody = { ...badInput, 413: problem("More than 8 MB"), 415: problem("Neither JSON nor CSV") };
const dryRun = { name: "dry_run", in: "query", schema: { enum: ["1", "true"] }, description: "Report, write nothing." };
const mappingParameters = [episodeParameters[0], {
  name: "provider",
  in: "path",
  required: true,
  schema: { type: "string" },
}];
const idParameter = { name: "id", in: "path", required: true, schema: { type: "string", format: "uuid" } };

interface OperatorOperation {
  readonly operationId: string;
  readonly summary: string;
  readonly answer: keyof typeof schemas;
  readonly responses?: Readonly<Record<number, unknown>>;
  readonly parameters?: readonly unknown[];
  readonly requestBody?: unknown;
}

const operator = ({ answer, responses, ...operation }: OperatorOperation) => ({
  ...operation,
  security: [{ secretKey: [] }, { bearer: [] }],
  responses: { 200: json(answer), ...operatorProblems, ...responses },
});

const body = (...types: readonly string[]) => ({
  requestBody: { required: true, content: Object.fromEntries(types.map((type) => [type, { schema: {} }])) },
});

const health = (operationId: string, parameters: readonly unknown[] = []) => ({
  operationId,
  summary: "Whether the function can work: the database answers its key. Kept for 5 s.",
  parameters,
  responses: {
    200: json("Health"),
    406: notAcceptable,
    503: problem("It cannot; `detail` says why and what to do", { "retry-after": header("Seconds") }),
  },
});
const deepParameter = {
  name: "deep",
  in: "query",
  schema: { enum: ["1"] },
  description: "The Worker is asked, too: whether it answers, and knows the signing key.",
};

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
    "/streaming/health": { get: health("streamingHealth", [deepParameter]) },
    "/streaming/takedowns": {
      get: {
        operationId: "listTakedowns",
        summary: "What is taken down, signed with STREAM_SIGNING_KEYS; the Worker obeys it",
        responses: {
          200: { ...json("DenyList"), headers: { ...requestId, "cache-control": header("public, for seconds") } },
          406: notAcceptable,
          500: failed,
          503: unavailable,
        },
      },
    },
    "/streaming/{malId}/{episode}": {
      get: episodeOperation("getEpisode", unchanged),
      post: episodeOperation("invokeEpisode"),
    },
    "/archive/health": { get: health("archiveHealth") },
    "/archive/counts": {
      get: operator({ operationId: "getCounts", summary: "What waits, runs, is dead and is stored", answer: "Counts" }),
    },
    "/archive/videos": {
      get: operator({
        operationId: "listVideos",
        summary: "Jobs, the last changed first",
        answer: "Videos",
        responses: badInput,
        parameters: [
          { name: "status", in: "query", schema: { enum: ["pending", "downloading", "uploading", "ready", "failed"] } },
          { name: "mal_id", in: "query", schema: { type: "integer" } },
          { name: "limit", in: "query", schema: { type: "integer", minimum: 1, maximum: 500, default: 100 } },
          { name: "cursor", in: "query", description: "`next` of the answer before", schema: { type: "string" } },
        ],
      }),
    },
    "/archive/videos/retry": {
      post: operator({
        operationId: "retryFailed",
        summary: "Put every failed video back in the queue",
        answer: "Retried",
      }),
    },
    "/archive/videos/{id}/retry": {
      post: operator({
        operationId: "retryVideo",
        summary: "Put one failed video back in the queue",
        answer: "Video",
        parameters: [idParameter],
        responses: { ...badInput, 409: problem("There is no failed video of this id") },
      }),
    },
    "/archive/videos/{id}/cancel": {
      post: operator({
        operationId: "cancelVideo",
        summary: "Stop wanting a video",
        answer: "Video",
        parameters: [idParameter],
        responses: { ...badInput, 404: problem("No such video"), 422: problem("It is archived already") },
      }),
    },
    "/archive/catalogue": {
      post: operator({
        operationId: "importCatalogue",
        summary: "Add or change episodes of one's own; JSON list or CSV, up to 5,000 at once",
        answer: "CatalogueReport",
        parameters: [dryRun],
        responses: badBody,
        ...body("application/json", "text/csv"),
      }),
    },
    "/archive/providers": {
      get: operator({ operationId: "listProviders", summary: "The provider list", answer: "Providers" }),
      post: operator({
        operationId: "applyProviders",
        summary: "Replace the provider list",
        answer: "ProvidersReport",
        parameters: [dryRun],
        responses: badBody,
        ...body("application/json"),
      }),
    },
    "/archive/mappings/{malId}/{provider}": {
      get: operator({
        operationId: "getMapping",
        summary: "Where a title lives at a provider, as the operator says or a search found",
        answer: "Mapping",
        parameters: mappingParameters,
        responses: { ...badInput, 404: problem("Nobody knows") },
      }),
      put: operator({
        operationId: "mapTitle",
        summary: 'Say where a title lives at a provider; {"page": null} forgets it',
        answer: "Mapping",
        parameters: mappingParameters,
        responses: badBody,
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
