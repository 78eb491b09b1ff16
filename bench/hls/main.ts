/**
 * Costs of hostile playlists in the parsers that Worker and runner share: CPU of 1 MiB and of 4 MiB of each shape, the best of several
 * rounds. The rewriter returns a rope of pieces, so encoding the response is not included. `deno task bench:hls` writes
 * bench/results/hls.json.
 */
import { cpus } from "node:os";
import process from "node:process";
import { commandLine } from "../../cli/command_line.ts";
import { HOSTILE_PLAYLISTS } from "../../dev/testing/hostile_playlists.ts";
import { PLAYLIST_READERS } from "../../dev/testing/playlist_readers.ts";

commandLine({ usage: "usage: deno task bench:hls" });

const MIB = 1024 * 1024;
const ROUNDS = 15;
/** Below this, the ratio measures the garbage collector rather than the parser. */
const NOISE_MS = 5;

/** Milliseconds of CPU, collector threads included. */
async function cost(read: (text: string) => unknown, text: string): Promise<number> {
  let best = Infinity;
  for (let round = 0; round < ROUNDS; round++) {
    const before = process.cpuUsage();
    await read(text);
    const { user, system } = process.cpuUsage(before);
    best = Math.min(best, (user + system) / 1000);
  }
  return best;
}

const round = (milliseconds: number) => Math.round(milliseconds * 10) / 10;
const shapes: Record<string, Record<string, { ms_1_mib: number; ms_4_mib: number }>> = {};
let worst = { ratio: 0, oneMib: 0, perMib: 0 };
for (const [name, shape] of Object.entries(HOSTILE_PLAYLISTS)) {
  const [small, large] = [shape(MIB), shape(4 * MIB)];
  shapes[name] = {};
  for (const [reader, read] of Object.entries(PLAYLIST_READERS)) {
    const [ms1, ms4] = [await cost(read, small), await cost(read, large)];
    shapes[name][reader] = { ms_1_mib: round(ms1), ms_4_mib: round(ms4) };
    const ratio = ms4 / Math.max(ms1, NOISE_MS);
    worst = {
      ratio: Math.max(worst.ratio, ratio),
      oneMib: Math.max(worst.oneMib, ms1),
      perMib: Math.max(worst.perMib, ms4 / 4),
    };
    console.log(
      `${name.padEnd(44)} ${reader.padEnd(21)} ${ms1.toFixed(1).padStart(7)} ${ms4.toFixed(1).padStart(7)} ms`,
    );
  }
}
const summary = {
  worst_4_mib_to_1_mib: round(worst.ratio),
  worst_ms_of_1_mib: round(worst.oneMib),
  worst_ms_per_mib_of_4: round(worst.perMib),
};
console.log(summary);
const machine = `${cpus()[0]?.model}, ${cpus().length} cores, Deno ${Deno.version.deno}`;
const file = new URL("../results/hls.json", import.meta.url);
await Deno.writeTextFile(file, JSON.stringify({ machine, rounds: ROUNDS, ...summary, shapes }, null, 2) + "\n");
