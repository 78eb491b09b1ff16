/** The reference page of what is kept, converted and refused. Pure. Example: `streamsDocument(results)` → "# Streams …". */
import type { StreamResult } from "./run_stream.ts";

export function streamsDocument(results: readonly StreamResult[]): string {
  const of = (expected: StreamResult["expected"]) => results.filter((result) => result.expected === expected);
  return `${
    [
      "# Streams",
      "",
      "What becomes of a source, stream by stream. Written by `deno task media --write`, which archives every one of them and compares the",
      "archive with the source: decoded video frames, audio packets, the distance of audio to video, languages and cues.",
      `${results.length} streams: ${results.filter(({ verdict }) => verdict === "right").length} as listed here.`,
      "",
      "## Kept",
      "",
      "Nothing is re-encoded.",
      "",
      ...of("kept").map(({ name }) => `- ${name}`),
      "",
      "## Converted",
      "",
      "The row of the archive says so (`media.converted`).",
      "",
      "| stream | what is done |",
      "|---|---|",
      ...of("converted").map(({ name, detail }) => `| ${name} | ${detail} |`),
      "",
      "## Refused",
      "",
      "The job ends with this reason, and nothing is archived.",
      "",
      "| stream | reason |",
      "|---|---|",
      ...of("refused").map(({ name, detail }) => `| ${name} | ${reason(detail)} |`),
    ].join("\n")
  }\n`;
}

/** Without the URL of the test's host. */
function reason(detail: string): string {
  return detail.replaceAll(/http:\/\/127\.0\.0\.1:\d+/g, "https://cdn.test").replaceAll("|", "\\|");
}
