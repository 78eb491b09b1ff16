/**
 * `deno task bench:title [write] [long] [http] [players]`: the writer of archives beside the plain rewrite, sha256sum and cp; requests and
 * bytes of ffmpeg, mpv and VLC for both forms; the players of the browser. Without names it measures everything; otherwise other parts keep
 * their last results. Writes bench/results/title.json. Needs ffmpeg; mpv and VLC are left out if they are not installed.
 */
import { cpus, loadavg, release, totalmem } from "node:os";
import { commandLine } from "../../cli/command_line.ts";
import { startBrowser } from "../../dev/testing/browser.ts";
import { writePresentation } from "../../runner/presentation/write_presentation.ts";
import { makePlayerClip, type Played, playedProblems, PLAYERS, playIn } from "../../tests/title/players.ts";
import { measureReaders, type ReaderRow } from "./readers.ts";
import { makeEpisode } from "./episode.ts";
import type { VariantResult } from "./variant.ts";

const RESULTS = new URL("../results/title.json", import.meta.url);
const NAMES = ["write", "long", "http", "players"];
const MINUTES = { write: 24, long: 300 };
const ROUNDS = { write: 5, long: 2 };
const KINDS = ["presentation", "plain", "sha256sum", "cp"] as const;

interface Round extends VariantResult {
  readonly kind: string;
  readonly minutes: number;
  /** 0 is the first in a new process: without compiled code. */
  readonly round: number;
  readonly load: number;
}

interface Measured {
  rounds: Round[];
  readers: ReaderRow[];
  players: (Played & { problems: readonly string[] })[];
}

const { positionals } = commandLine({
  usage: `usage: deno task bench:title ${NAMES.map((name) => `[${name}]`).join(" ")}`,
  options: {},
  positionals: NAMES,
});
const wanted = positionals.length > 0 ? positionals : NAMES;
const dir = await Deno.makeTempDir({ prefix: "keepstream-bench-title-" });
try {
  const measured = await lastResults();
  for (const name of ["write", "long"] as const) {
    if (!wanted.includes(name)) continue;
    const kept = measured.rounds.filter(({ minutes }) => minutes !== MINUTES[name]);
    measured.rounds = [...kept, ...await measureWriting(MINUTES[name], ROUNDS[name])];
  }
  if (wanted.includes("http")) measured.readers = await measureReaders(dir, MINUTES.write);
  if (wanted.includes("players")) measured.players = await measurePlayers();
  await write(measured);
} finally {
  await Deno.remove(dir, { recursive: true });
}

/** Kinds alternate, so that other load on the machine affects all of them. */
async function measureWriting(minutes: number, rounds: number): Promise<Round[]> {
  const input = `${dir}/${minutes}.mp4`;
  await makeEpisode(input, minutes);
  const process = startVariant(input);
  const measured: Round[] = [];
  for (let round = 0; round < rounds; round++) {
    for (const kind of KINDS) {
      const result = await process.run(kind);
      measured.push({ kind, minutes, round, load: Number(loadavg()[0]!.toFixed(1)), ...result });
      console.log(JSON.stringify(measured.at(-1)));
    }
  }
  await process.stop();
  await Deno.remove(input);
  return measured;
}

function startVariant(input: string) {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", new URL("variant.ts", import.meta.url).pathname, input, `${dir}/out.mp4`],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  const lines = child.stdout.pipeThrough(new TextDecoderStream() as TransformStream<Uint8Array<ArrayBuffer>, string>);
  const reader = lines.getReader();
  let text = "";
  return {
    async run(kind: string): Promise<VariantResult> {
      await writer.write(new TextEncoder().encode(`${kind}\n`));
      while (!text.includes("\n")) {
        const { value, done } = await reader.read();
        if (done) throw new Error("the variant ended");
        text += value;
      }
      const [line, ...rest] = text.split("\n");
      text = rest.join("\n");
      return JSON.parse(line!);
    },
    async stop() {
      await writer.close();
      await reader.cancel();
      await child.status;
    },
  };
}

async function measurePlayers(): Promise<Measured["players"]> {
  const clip = `${dir}/players`;
  await Deno.mkdir(clip);
  await makePlayerClip(`${clip}/in.mp4`);
  const signal = new AbortController().signal;
  const options = { form: "auto", segmentSeconds: 4, output: `${clip}/ep.mp4`, fileKey: "ep", signal } as const;
  const written = await writePresentation({ path: `${clip}/in.mp4` }, options);
  if (written.kind !== "done") throw new Error(written.reason);
  for (const [ending, text] of written.texts) await Deno.writeTextFile(`${clip}/ep${ending}`, text);
  await using browser = await startBrowser();
  const played = [];
  for (const player of PLAYERS) {
    const result = await playIn(player, { dir: clip, browser });
    played.push({ ...result, problems: playedProblems(result) });
    console.log(player, played.at(-1)!.problems);
  }
  return played;
}

async function lastResults(): Promise<Measured> {
  const last = await Deno.readTextFile(RESULTS).then(JSON.parse, () => null);
  return { rounds: last?.rounds ?? [], readers: last?.readers ?? [], players: last?.players ?? [] };
}

async function write({ rounds, readers, players }: Measured): Promise<void> {
  const machine = {
    cpu: `${cpus().length} x ${cpus()[0]!.model}`,
    memoryGiB: Math.round(totalmem() / 1024 ** 3),
    system: `${Deno.build.os} ${release()}`,
    deno: Deno.version.deno,
  };
  const result = { at: new Date().toISOString(), machine, rounds, readers, players };
  await Deno.writeTextFile(RESULTS, `${JSON.stringify(result, null, 1)}\n`);
}
