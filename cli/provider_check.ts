// `deno task ks check NAME --title 55825 [--episode 1] [--page /anime/x/] [--file providers.json] [--json]`: tries one entry of the
// provider list on a real page and reports what was found, what was not, and why. Nothing is written or enqueued.
import { createPageFinder } from "../functions/streaming/page_finder.ts";
import { type CollectTools, PRODUCT } from "../sources/collect.ts";
import { createPerHostLimiter } from "../sources/fetch/per_host_limiter.ts";
import { withoutByteOrderMark } from "../sources/catalogue/entry_lines.ts";
import { checkProvider, plays, type ProviderToCheck } from "../sources/provider_check.ts";
import { checkPublicHost } from "../sources/fetch/public_host.ts";
import { createRobots } from "../sources/fetch/robots.ts";
import { print, printJson, terminalText } from "./print.ts";
import { isLoopbackUrl } from "../core/allowed_origins.ts";
import type { UrlPolicy } from "../core/url_policy.ts";
import { CommandError, parseCommandLine, readInputFile } from "./command_line.ts";
import { SYSTEM_FLAGS, SYSTEM_HELP } from "./flags.ts";
import { findOperatorApi, policyOf } from "./operator_api.ts";

const USAGE =
  `usage: deno task ks check NAME --title MAL_ID [--episode N] [--page PATH] [--media URL] [--file LIST] [--json] [--env-file FILE]

  --page PATH        the title's page, if the system has none
  --media URL        try a catalogue entry with this URL
  --file LIST        take the entry from this list instead of the system
  --json             the report as JSON
${SYSTEM_HELP}

Nothing is written or enqueued. Exit codes: 0 something plays, 1 nothing plays, 2 it could not be tried.`;
const LIMIT_MS = 60_000;
const MARK = { good: "ok  ", warning: "note", bad: "FAIL" } as const;

export async function checkCommand(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<number> {
  const { values, positionals } = parseCommandLine(args, {
    usage: USAGE,
    positionals: 1,
    options: {
      title: { type: "string", default: "1" },
      episode: { type: "string", default: "1" },
      page: { type: "string" },
      file: { type: "string" },
      media: { type: "string" },
      json: { type: "boolean", default: false },
      ...SYSTEM_FLAGS,
    },
  });
  const [name] = positionals;
  const [malId, episode] = [Number(values.title), Number(values.episode)];
  if (name === undefined || ![malId, episode].every((number) => Number.isInteger(number) && number > 0)) {
    throw new CommandError(USAGE);
  }
  const { list, policy, pageOf, catalogueOf } = await readList(env, { file: values.file, envFile: values["env-file"] });
  const entry = list.find((one) => one.name === name);
  if (entry === undefined) {
    throw new CommandError(`there is no provider ${name}; known: ${list.map((one) => one.name).join(", ") || "none"}`);
  }
  const steps = await checkProvider({
    entry,
    malId,
    episode,
    page: values.page ?? await pageOf(malId, name),
    catalogue: values.media === undefined
      ? await catalogueOf(malId, episode)
      : { title: null, sources: [{ url: values.media }] },
  }, checkTools(env, policy));
  const playable = plays(steps);
  if (values.json) {
    printJson({ provider: name, title: malId, episode, plays: playable, steps });
  } else {
    for (const { step, outcome, detail } of steps) {
      print(`${MARK[outcome]}  ${step.padEnd(6)}  ${terminalText(detail)}`);
    }
    print(playable ? "this provider plays" : "nothing of this provider plays");
  }
  return playable ? 0 : 1;
}

/** The same as in the functions, but nothing is cached. */
function checkTools(env: Readonly<Record<string, string>>, policy: UrlPolicy): CollectTools {
  const store = {
    readMetadata: () => Promise.resolve(null),
    saveMetadata: () => Promise.resolve(),
    saveMapping: () => Promise.resolve(),
  };
  return {
    fetch,
    now: Date.now,
    policy,
    signal: AbortSignal.timeout(LIMIT_MS),
    limiter: createPerHostLimiter(),
    robots: createRobots({ now: Date.now, product: PRODUCT }),
    findPage: createPageFinder({ store, titleApiUrl: env.TITLE_API_URL || null, onError: () => {} }),
    beforeRequest: (url, signal) =>
      checkPublicHost(url, { resolve: (host, type) => Deno.resolveDns(host, type, { signal }), policy, signal }),
    ...(env.MEGA_API_URL && { megaApiUrl: env.MEGA_API_URL }),
    ...(env.SOURCE_USER_AGENT && { userAgent: env.SOURCE_USER_AGENT }),
  };
}

type Entry = Readonly<Record<string, unknown>>;

interface ListToCheck {
  readonly list: readonly Entry[];
  readonly policy: UrlPolicy;
  /** The page of a title, as set by the operator or found by a search. */
  readonly pageOf: (malId: number, provider: string) => Promise<string | null>;
  /** The catalogue's row of an episode; null if there is none, or no system. */
  readonly catalogueOf: (malId: number, episode: number) => Promise<ProviderToCheck["catalogue"]>;
}

async function readList(
  env: Readonly<Record<string, string>>,
  { file, envFile }: { file: string | undefined; envFile: string | undefined },
): Promise<ListToCheck> {
  if (file !== undefined) {
    const list = parseList(await readInputFile(file));
    if (list === null) throw new CommandError(`${file} is not a JSON list of providers`);
    return {
      list,
      policy: policyOf({ env, isLocal: isLoopbackUrl(env.SUPABASE_URL ?? "") }),
      pageOf: () => Promise.resolve(null),
      catalogueOf: () => Promise.resolve(null),
    };
  }
  const api = await findOperatorApi(env, envFile);
  const { status, body } = await api.call("GET", "/providers");
  if (status !== 200 || !Array.isArray(body.providers)) {
    throw new CommandError(`the list cannot be read: ${body.detail ?? status}`);
  }
  return {
    list: body.providers.map(({ position: _position, ...entry }: Entry) => entry),
    policy: api.policy,
    async pageOf(malId, provider) {
      const { body } = await api.call("GET", `/mappings/${malId}/${provider}`);
      return typeof body.page === "string" ? body.page : null;
    },
    catalogueOf: api.readCatalogue,
  };
}

function parseList(text: string): readonly Entry[] | null {
  try {
    const list: unknown = JSON.parse(withoutByteOrderMark(text));
    return Array.isArray(list) && list.every((one) => typeof one === "object" && one !== null) ? list : null;
  } catch {
    return null;
  }
}
