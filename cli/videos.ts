// `deno task ks videos`: lists the queue as a table or as JSON; `counts`, `retry [ID…]`, `cancel ID…`.
// Example: `deno task ks videos --status failed --title 55825`.
import { z } from "zod";
import { videoSchema } from "../functions/_shared/video.ts";
import { print, printJson, terminalText } from "./print.ts";
import { CommandError, EXIT_CODES, parseCommandLine, wholeNumber } from "./command_line.ts";
import { CHANGE_FLAGS, CHANGE_HELP, SYSTEM_FLAGS, SYSTEM_HELP } from "./flags.ts";
import { findOperatorApi, type OperatorApi } from "./operator_api.ts";
import { confirmChange } from "./system.ts";

const USAGE = `usage:
  deno task ks videos [--status STATUS] [--title MAL_ID] [--limit N] [--json]   jobs, most recently changed first
  deno task ks videos counts [--json]                                           waiting, running, dead and archived videos
  deno task ks videos retry [ID…] [--json]                                      retry failed videos; without an ID, all of them
  deno task ks videos cancel ID… [--json]                                       cancel these videos

${CHANGE_HELP}
${SYSTEM_HELP}

${EXIT_CODES}`;

const MAX_REASON_CHARACTERS = 60;
/** The API's limit. */
const MAX_PAGE = 500;

const videosSchema = z.array(videoSchema.extend({
  progress: z.object({
    phase: z.string().optional(),
    bytes_done: z.number().optional(),
    bytes_total: z.number().nullish(),
  }).nullable(),
}));

type Video = z.infer<typeof videosSchema>[number];

const pageSchema = z.object({ videos: z.array(z.unknown()), next: z.string().nullable() });

export async function videosCommand(args: readonly string[], env: Readonly<Record<string, string>>): Promise<number> {
  const { values, positionals } = parseCommandLine(args, {
    usage: USAGE,
    options: {
      status: { type: "string" },
      title: { type: "string" },
      limit: { type: "string", default: "50" },
      json: { type: "boolean", default: false },
      ...CHANGE_FLAGS,
      ...SYSTEM_FLAGS,
    },
    positionals: Infinity,
  });
  const [verb = "list", ...ids] = positionals;
  const wrongIds = verb === "cancel" ? ids.length === 0 : verb !== "retry" && ids.length > 0;
  if (!["list", "counts", "retry", "cancel"].includes(verb) || wrongIds) throw new CommandError(USAGE);
  const limit = wholeNumber(values.limit, "--limit", { min: 1, max: 1_000_000 });
  const api = await findOperatorApi(env, values["env-file"]);
  if (verb === "retry" || verb === "cancel") {
    const which = ids.length === 0
      ? "every failed video"
      : ids.length === 1
      ? `video ${ids[0]}`
      : `${ids.length} videos`;
    confirmChange(api.system, { what: `${verb} ${which}`, yes: values.yes });
  }
  const result = await execute(api, { verb, ids, values: { ...values, limit } });
  if (values.json) printJson(result);
  else print(format(verb, result));
  return 0;
}

async function execute(
  api: OperatorApi,
  { verb, ids, values }: {
    verb: string;
    ids: readonly string[];
    values: { readonly status?: string; readonly title?: string; readonly limit: number };
  },
): Promise<unknown> {
  switch (verb) {
    case "list":
      return await list(api, values);
    case "counts":
      return (await call(api, "GET", "/counts")).counts;
    case "retry":
      if (ids.length === 0) return { retried: (await call(api, "POST", "/videos/retry")).retried };
      return { retried: await each(api, ids, "retry") };
    default:
      return { cancelled: await each(api, ids, "cancel") };
  }
}

/** Reads pages until the limit. */
async function list(
  api: OperatorApi,
  { limit, status, title }: { readonly limit: number; readonly status?: string; readonly title?: string },
): Promise<unknown[]> {
  const query = new URLSearchParams();
  if (status !== undefined) query.set("status", status);
  if (title !== undefined) query.set("mal_id", title);
  const videos: unknown[] = [];
  for (;;) {
    query.set("limit", String(Math.min(limit - videos.length, MAX_PAGE)));
    const page = pageSchema.parse(await call(api, "GET", `/videos?${query}`));
    videos.push(...page.videos);
    if (page.next === null || videos.length >= limit) return videos;
    query.set("cursor", page.next);
  }
}

async function each(api: OperatorApi, ids: readonly string[], action: "retry" | "cancel"): Promise<number> {
  for (const id of ids) await call(api, "POST", `/videos/${encodeURIComponent(id)}/${action}`, id);
  return ids.length;
}

async function call(api: OperatorApi, method: string, path: string, about?: string) {
  const { status, body } = await api.call(method, path);
  if (status !== 200) {
    throw new CommandError(`${about === undefined ? "" : `${about}: `}${body.detail ?? `${api.url}: ${status}`}`);
  }
  return body;
}

function format(verb: string, result: unknown): string {
  if (verb !== "list") {
    const rows = Object.entries(Object(result));
    const width = Math.max(14, ...rows.map(([name]) => name.length));
    return rows.map(([name, value]) => `${name.padEnd(width)} ${textOf(value)}`).join("\n");
  }
  const videos = videosSchema.parse(result);
  if (videos.length === 0) return "no video";
  const rows = videos.map((video) =>
    [
      video.id,
      `${video.mal_id}/${video.episode}`,
      video.provider,
      video.resolution ?? "–",
      stateOf(video),
      `${video.attempts}`,
      reasonOf(video),
    ].map(terminalText)
  );
  const head = ["id", "episode", "provider", "res", "state", "tries", "reason"];
  const widths = head.map((name, at) => Math.max(name.length, ...rows.map((row) => row[at]!.length)));
  return [head, ...rows].map((row) => row.map((cell, at) => cell.padEnd(widths[at]!)).join("  ").trimEnd()).join("\n");
}

const notificationSchema = z.object({
  at: z.string(),
  status_code: z.number().nullable(),
  error: z.string().nullable(),
});

function textOf(value: unknown): string {
  const notification = notificationSchema.safeParse(value).data;
  if (notification === undefined) return String(value ?? "–");
  const { at, status_code, error } = notification;
  return [status_code ?? (error === null ? "sent" : "failed"), error, `(${at})`].filter((part) => part !== null).join(
    " ",
  );
}

function stateOf({ status, terminal_at, progress }: Video): string {
  if (status === "failed") return terminal_at === null ? "failed, will retry" : "dead";
  const { phase, bytes_done: done, bytes_total: total } = progress ?? {};
  if (status === "ready" || status === "pending" || phase === undefined) return status;
  return total ? `${phase} ${Math.floor(100 * (done ?? 0) / total)} %` : phase;
}

function reasonOf({ error_class, error_message }: Video): string {
  if (error_class === null) return "";
  const text = terminalText(error_message ?? "");
  return `${error_class}: ${text.length > MAX_REASON_CHARACTERS ? `${text.slice(0, MAX_REASON_CHARACTERS)}…` : text}`;
}
