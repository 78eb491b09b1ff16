/** Medians and ratios of the raw rounds. Pure. */
const MOST_ELSEWHERE = 0.2;

export type Round = {
  readonly how: string;
  readonly name: string;
  readonly round: number;
  readonly seconds: number;
  readonly cpu_seconds: number;
  readonly children_cpu_seconds: number;
  readonly peak_mib: number;
  readonly peak_mib_with_children: number;
  readonly busy_elsewhere: number;
};

export type PieceRound = {
  readonly piece: string;
  readonly round: number;
  readonly seconds?: number;
  readonly megabytes_per_second?: number | Readonly<Record<string, readonly number[]>>;
};

export type Summary = {
  readonly line: string;
  readonly how: string;
  readonly name: string;
  readonly median_seconds: number;
  readonly ratio_to_limit: number | null;
  readonly cpu_seconds: number;
  readonly peak_mib: number;
  readonly peak_mib_with_children: number;
};

export function summarise(line: string, rounds: readonly Round[], limits: ReadonlyMap<string, number>): Summary[] {
  const ways = new Set(rounds.map(({ how, name }) => `${how} ${name}`));
  return [...ways].map((way) => {
    const own = undisturbed(rounds.filter(({ how, name }) => `${how} ${name}` === way));
    const { how, name } = own[0]!;
    const seconds = median(own.map((round) => round.seconds));
    return {
      line,
      how,
      name,
      median_seconds: round(seconds, 2),
      ratio_to_limit: line === "uncapped" ? null : round(seconds / limits.get(name)!, 2),
      cpu_seconds: round(median(own.map((round) => round.cpu_seconds + round.children_cpu_seconds)), 2),
      peak_mib: median(own.map((round) => round.peak_mib)),
      peak_mib_with_children: median(own.map((round) => round.peak_mib_with_children)),
    };
  });
}

/** Targets of the runner, with the measured values. */
export function ratios(
  { rounds, pieces }: { rounds: Readonly<Record<string, readonly Round[]>>; pieces: readonly PieceRound[] },
  limits: ReadonlyMap<string, number>,
  limitsOfAll: ReadonlyMap<string, number>,
): { goal: string; wanted: string; measured: string }[] {
  const seconds = (part: string, how: string, name: string) =>
    median(undisturbed((rounds[part] ?? []).filter((r) => r.how === how && r.name === name)).map((r) => r.seconds));
  const runner = (name: string) => seconds("c1", "runner", name);
  const speeds = (way: string) =>
    median(pieces.flatMap(({ megabytes_per_second: speed }) => typeof speed === "object" ? speed[way] ?? [] : []));
  const piece = (name: string, value: (round: PieceRound) => number) =>
    median(pieces.filter((round) => round.piece === name).map(value));
  const all = Object.values(rounds).flat().filter(({ how }) => how === "runner");
  const each = (names: readonly string[], value: (name: string) => number) =>
    names.map((name) => `${name} ${round(value(name), 2)}`).join(", ");
  return [
    [
      "HLS, times the limit of 16 connections",
      "≤ 1.25",
      each(["ts", "aes", "fmp4"], (n) => runner(n) / limits.get(n)!),
    ],
    [
      "HLS, times the limit of the 32 connections that it grows to",
      "≤ 1.25",
      each(["ts", "aes", "fmp4"], (n) => runner(n) / limitsOfAll.get(n)!),
    ],
    ["HLS, part of yt-dlp -N 16", "≤ 0.6", each(["ts", "aes", "fmp4"], (n) => runner(n) / seconds("c1", "yt-dlp", n))],
    [
      "HLS, times faster than ffmpeg",
      "≥ 6",
      each(["ts", "aes", "fmp4"], (n) => seconds("sequential", "ffmpeg", n) / runner(n)),
    ],
    ["AES-128, times clear", "≤ 1.10", String(round(runner("aes") / runner("ts"), 2))],
    ["MP4 163 MB, times the limit of 8 connections", "≤ 1.10", String(round(runner("mp4") / limits.get("mp4")!, 2))],
    [
      "MP4 610 MB, times the limit of 8 connections",
      "≤ 1.10",
      String(round(seconds("large", "runner", "large") / limits.get("large")!, 2)),
    ],
    ["verify and hash 163 MB, seconds", "≤ 0.35", String(round(piece("verify", (r) => r.seconds!), 2))],
    ["mega, MB/s", "≥ 100", String(Math.round(piece("mega", (r) => r.megabytes_per_second as number)))],
    ["forward proxy, MB/s", "≥ 300", `${speeds("proxy")} (tunnel ${speeds("tunnel")}, direct ${speeds("direct")})`],
    [
      "peak memory of a job with its children, MiB",
      "≤ 190",
      String(Math.max(...all.map((r) => r.peak_mib_with_children))),
    ],
  ].map(([goal = "", wanted = "", measured = ""]) => ({
    goal,
    wanted,
    measured: /NaN|Infinity/.test(measured) ? "not measured" : measured,
  }));
}

/** The rounds in which other programs used little CPU; all rounds if there are none. */
function undisturbed(rounds: readonly Round[]): readonly Round[] {
  const calm = rounds.filter((round) => round.busy_elsewhere <= MOST_ELSEWHERE);
  return calm.length > 0 ? calm : rounds;
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.slice(Math.floor((sorted.length - 1) / 2), Math.floor(sorted.length / 2) + 1);
  return middle.reduce((sum, value) => sum + value, 0) / middle.length;
}

function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}
