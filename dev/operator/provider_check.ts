// `deno task provider:check NAME --title 55825 [--episode 1] [--page /anime/x/] [--file providers.json]`: one entry of the
// operator's list against a real page, and what was found, what was not, and why. Nothing is written or enqueued.
import { parseArgs } from "node:util";
import { checkProvider, plays } from "../../sources/provider_check.ts";
import { createHostGate } from "../../sources/host_gate.ts";
import { checkPublicHost } from "../../sources/public_host.ts";
import { createRobots } from "../../sources/robots.ts";
import { findOperatorApi, OperatorError, runCommand } from "./operator_api.ts";

const LIMIT_MS = 60_000;
const MARK = { good: "ok  ", warning: "note", bad: "FAIL" } as const;

if (import.meta.main) await runCommand(() => providerCheckCommand(Deno.args, Deno.env.toObject()));

export async function providerCheckCommand(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      title: { type: "string", default: "1" },
      episode: { type: "string", default: "1" },
      page: { type: "string" },
      file: { type: "string" },
      media: { type: "string" },
    },
  });
  const name = positionals[0];
  const [malId, episode] = [Number(values.title), Number(values.episode)];
  if (name === undefined || !Number.isInteger(malId) || !Number.isInteger(episode)) {
    throw new OperatorError(
      "usage: deno task provider:check NAME --title MAL_ID [--episode N] [--page PATH] [--media URL] [--file LIST]",
    );
  }
  const { list, allowedOrigins } = await readList(values.file, env);
  const entry = list.find((one) => one.name === name);
  if (entry === undefined) {
    throw new OperatorError(`there is no provider ${name}; known: ${list.map((one) => one.name).join(", ")}`);
  }
  const policy = { allowedOrigins };
  const steps = await checkProvider({
    entry,
    malId,
    episode,
    page: values.page ?? null,
    // An entry of the catalogue is tried with an address of its own, since the table is the operator's.
    catalogue: values.media === undefined ? null : { title: null, sources: [{ url: values.media }] },
  }, {
    fetch,
    now: Date.now,
    policy,
    signal: AbortSignal.timeout(LIMIT_MS),
    hosts: createHostGate(),
    robots: createRobots({ now: Date.now }),
    beforeRequest: (url, signal) =>
      checkPublicHost(url, { resolve: (host, type) => Deno.resolveDns(host, type, { signal }), policy, signal }),
    ...(env.MEGA_API_URL && { megaApiUrl: env.MEGA_API_URL }),
  });
  for (const { step, outcome, detail } of steps) console.log(`${MARK[outcome]}  ${step.padEnd(6)}  ${detail}`);
  console.log(plays(steps) ? "this provider plays" : "nothing of this provider plays");
  return plays(steps) ? 0 : 1;
}

type Entry = Readonly<Record<string, unknown>>;

async function readList(file: string | undefined, env: Readonly<Record<string, string>>) {
  if (file !== undefined) {
    const list: unknown = JSON.parse(await Deno.readTextFile(file));
    if (!Array.isArray(list)) throw new OperatorError(`${file} is not a list of providers`);
    return { list: list as readonly Entry[], allowedOrigins: [] };
  }
  const api = await findOperatorApi(env);
  const { status, body } = await api.call("GET", "/providers");
  if (status !== 200 || !Array.isArray(body.providers)) {
    throw new OperatorError(`the list cannot be read: ${body.detail ?? status}`);
  }
  const list = body.providers.map(({ position: _position, ...entry }: Entry) => entry);
  return { list, allowedOrigins: api.allowedOrigins };
}
