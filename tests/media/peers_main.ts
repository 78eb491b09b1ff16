/** Runs the suite through other tools: `deno task media:peers [--only TEXT] [--write]`. Needs yt-dlp. */
import { commandLine } from "../../cli/command_line.ts";
import { type Peer, type PeerResult, PEERS, runPeer } from "./peers.ts";
import { STREAMS } from "./suite.ts";

const RESULTS = new URL("../../bench/results/media-peers.json", import.meta.url);

const { values: { only = "", write = false } } = commandLine({
  usage: "usage: deno task media:peers [--only TEXT] [--write]",
  options: { only: { type: "string" }, write: { type: "boolean" } },
});
const tools = await versions();
const results: Record<string, Partial<Record<Peer, PeerResult>>> = {};
for (const { name, make } of STREAMS.filter(({ name }) => name.includes(only))) {
  const stream = await make();
  const own: Partial<Record<Peer, PeerResult>> = results[name] = {};
  for (const peer of PEERS) {
    own[peer] = await runPeer(peer, stream).catch((error): PeerResult => ({
      verdict: "failed",
      detail: error.message,
    }));
  }
  if (write) await Deno.writeTextFile(RESULTS, `${JSON.stringify({ versions: tools, results }, null, 2)}\n`);
  console.log(`${name}: ${PEERS.map((peer) => `${peer} ${own[peer]!.verdict}`).join(", ")}`);
}
for (const peer of PEERS) {
  const of = (verdict: string) => Object.values(results).filter((result) => result[peer]!.verdict === verdict).length;
  console.log(
    `${peer}: ${of("right")} right, ${of("wrong")} wrong, ${of("failed")} failed, ${of("accepted")} accepted`,
  );
}
async function versions(): Promise<Record<string, string>> {
  const first = async (program: string, arg: string) => {
    const { stdout } = await new Deno.Command(program, { args: [arg] }).output();
    return new TextDecoder().decode(stdout).split("\n")[0]!;
  };
  return { ffmpeg: await first("ffmpeg", "-version"), "yt-dlp": await first("yt-dlp", "--version") };
}
