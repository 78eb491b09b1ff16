// `deno task videos`: what the queue holds, as a table or as JSON; `counts`, `retry [ID…]`, `cancel ID…`.
// Example: `deno task videos --status failed --title 55825`.
import { parseArgs } from "node:util";
import { z } from "zod";
import { videoSchema } from "../../functions/archive/video.ts";
import { print, printJson, terminalText } from "../print.ts";
import { findOperatorApi, type OperatorApi, OperatorError, runCommand } from "./operator_api.ts";

const USAGE = `usage:
  deno task videos [--status STATUS] [--title MAL_ID] [--limit N] [--json]   jobs, the last changed first
  deno task videos counts [--json]                                           what waits, runs, is dead, is stored
  deno task videos retry [ID…] [--json]                                      failed ones back in the queue; all without an ID
  deno task videos cancel ID… [--json]                                       stop wanting these`;

const MAX_REASON_CHARACTERS = 60;
/** What the API answers at most at once. */
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

if (import.meta.main) await runCommand(() => videosCommand(Deno.args, Deno.env.toObject()));

/** Returns the exit code; @throws {OperatorError} with what the operator has to do. */
export async function videosCommand(args: readonly string[], env: Readonly<Record<string, string>>): Promise<number> {
  const { values, positionals } = parse(args);
  const [verb = "list", ...ids] = positionals;
  if (verb === "cancel" ? ids.length === 0 : verb !== "retry" && ids.length > 0) throw new OperatorError(USAGE);
  const api = await findOperatorApi(env);
  const answer = await ask(api, { verb, ids, values });
  if (values.json) printJson(answer);
  else print(present(verb, answer));
  return 0;
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        status: { type: "string" },
        title: { type: "string" },
        limit: { type: "string" },
        json: { type: "boolean", default: false },
      },
    });
  } catch (cause) {
    throw new OperatorError(`${cause instanceof Error ? cause.message : cause}\n${USAGE}`, { cause });
  }
}

async function ask(
  api: OperatorApi,
  { verb, ids, values }: {
    verb: string;
    ids: readonly string[];
    values: { readonly status?: string; readonly title?: string; readonly limit?: string };
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
    case "cancel":
      return { cancelled: await each(api, ids, "cancel") };
    default:
      throw new OperatorError(USAGE);
  }
}

/** As many as were asked for, page by page. */
async function list(
  api: OperatorApi,
  { limit = "50", status, title }: { readonly limit?: string; readonly status?: string; readonly title?: string },
): Promise<unknown[]> {
  const wanted = Number(limit);
  if (!Number.isInteger(wanted) || wanted < 1) throw new OperatorError(`--limit is a whole number from 1 on\n${USAGE}`);
  const query = new URLSearchParams();
  if (status !== undefined) query.set("status", status);
  if (title !== undefined) query.set("mal_id", title);
  const videos: unknown[] = [];
  for (;;) {
    query.set("limit", String(Math.min(wanted - videos.length, MAX_PAGE)));
    const page = pageSchema.parse(await call(api, "GET", `/videos?${query}`));
    videos.push(...page.videos);
    if (page.next === null || videos.length >= wanted) return videos;
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
    throw new OperatorError(`${about === undefined ? "" : `${about}: `}${body.detail ?? `${api.address}: ${status}`}`);
  }
  return body;
}

function present(verb: string, answer: unknown): string {
  if (verb !== "list") {
    const rows = Object.entries(Object(answer));
    const width = Math.max(14, ...rows.map(([name]) => name.length));
    return rows.map(([name, value]) => `${name.padEnd(width)} ${textOf(value)}`).join("\n");
  }
  const videos = videosSchema.parse(answer);
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
  if (status === "failed") return terminal_at === null ? "failed, waits" : "dead";
  const { phase, bytes_done: done, bytes_total: total } = progress ?? {};
  if (status === "ready" || status === "pending" || phase === undefined) return status;
  return total ? `${phase} ${Math.floor(100 * (done ?? 0) / total)} %` : phase;
}

function reasonOf({ error_class, error_message }: Video): string {
  if (error_class === null) return "";
  const text = terminalText(error_message ?? "");
  return `${error_class}: ${text.length > MAX_REASON_CHARACTERS ? `${text.slice(0, MAX_REASON_CHARACTERS)}…` : text}`;
}
