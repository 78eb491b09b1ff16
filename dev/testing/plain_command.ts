/** Plain command lines and hosts for tests of attacks. */
import { type Bytes, readClip } from "../emulators/origin/clip.ts";
import type { Host } from "./fetch_fixture.ts";

export const clip = await readClip();

export const names = clip.ts.map((_, i) => `/s${i}.ts`);

export type Run = { code: number; stderr: string };

/** The plain command line, in its own directory, for at most `seconds`. */
export async function runPlain(
  program: string,
  args: readonly string[],
  options: { cwd: string; seconds?: number },
): Promise<Run> {
  const child = new Deno.Command(program, {
    args: [...args],
    cwd: options.cwd,
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const timer = setTimeout(() => child.kill("SIGKILL"), (options.seconds ?? 20) * 1000);
  const { code, stderr } = await child.output();
  clearTimeout(timer);
  return { code, stderr: new TextDecoder().decode(stderr) };
}

export async function tempDir(): Promise<{ path: string } & AsyncDisposable> {
  const path = await Deno.makeTempDir({ prefix: "keepstream-runPlain-" });
  return { path, [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }) };
}

export function hlsHost(playlist: () => string, segments: readonly Bytes[] = clip.ts): Host {
  return (path) => {
    if (path.endsWith(".m3u8")) {
      return new Response(playlist(), { headers: { "content-type": "application/vnd.apple.mpegurl" } });
    }
    const index = names.indexOf(path);
    return index === -1 ? new Response(null, { status: 404 }) : new Response(segments[index]!);
  };
}
