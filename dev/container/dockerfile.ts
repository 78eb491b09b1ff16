/**
 * Reads the runner's Dockerfile, for the tests that run it without Docker.
 * Example: `(await readDockerfile()).cmd` → ["deno", "run", …, "runner/main.ts"].
 */
export interface Dockerfile {
  /** The base image of the last stage, e.g. `debian:trixie-20261005-slim`. */
  readonly base: string;
  readonly packages: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cmd: readonly string[];
  readonly entrypoint: readonly string[];
  readonly healthcheck: readonly string[];
  /** Paths of the repository → places in the image. */
  readonly copies: readonly { readonly from: readonly string[]; readonly to: string }[];
}

export const DOCKERFILE = new URL("../../runner/space/Dockerfile", import.meta.url);

export async function readDockerfile(): Promise<Dockerfile> {
  return parseDockerfile(await Deno.readTextFile(DOCKERFILE));
}

export function parseDockerfile(text: string): Dockerfile {
  const lines = text.replace(/\\\n/g, " ").split("\n");
  const rest = (word: string) =>
    lines.filter((line) => line.startsWith(`${word} `)).map((line) => line.slice(word.length + 1));
  const last = (word: string) => {
    const found = rest(word).at(-1);
    if (found === undefined) throw new Error(`the Dockerfile has no ${word}`);
    return found;
  };
  const list = (words: string) => JSON.parse(words.slice(words.indexOf("["))) as string[];
  const install = /apt-get install -y --no-install-recommends ([a-z0-9 .+-]+?) *&&/.exec(last("RUN apt-get update"));
  return {
    base: last("FROM").split(" ")[0]!,
    packages: install![1]!.split(" "),
    env: Object.fromEntries(rest("ENV").flatMap((line) => line.split(" ")).map((pair) => pair.split("=", 2))),
    cmd: list(last("CMD")),
    entrypoint: list(last("ENTRYPOINT")),
    healthcheck: list(last("HEALTHCHECK")),
    copies: rest("COPY").filter((line) => line.startsWith("--chown=runner ")).map((line) => {
      const paths = line.split(" ").slice(1);
      return { from: paths.slice(0, -1), to: paths.at(-1)! };
    }),
  };
}
