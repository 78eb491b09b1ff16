/**
 * The runner's image without Docker: a root made by mmdebstrap from the Dockerfile's base and packages, in which CMD runs as uid 1000 with
 * a read-only root and without capabilities, as compose.yaml restricts it. Linux, as root.
 * Example: `await using image = await makeImageRoot(dir)`; prefix a command line with `image.enter({ workDir })`.
 */
import { type Dockerfile, readDockerfile } from "./dockerfile.ts";

const ROOT = new URL("../..", import.meta.url).pathname;
const UID = 1000;

export interface ImageRoot {
  readonly dockerfile: Dockerfile;
  readonly dir: string;
  /** Name and version of each package that the Dockerfile names. */
  readonly packages: Readonly<Record<string, string>>;
  /** Prefix of a command line that runs it in the image, with the entry point. */
  readonly enter: (env: Readonly<Record<string, string>>) => readonly string[];
}

/** Reuses the contents of `dir`. @throws {Error} that names what the machine lacks. */
export async function makeImageRoot(dir: string): Promise<ImageRoot> {
  if (Deno.build.os !== "linux" || Deno.uid() !== 0) throw new Error("running the image needs Linux and root");
  const dockerfile = await readDockerfile();
  const tag = /^debian:([a-z]+)-\d{8}-slim/.exec(dockerfile.base);
  if (tag === null) throw new Error(`the base is not a dated Debian tag: ${dockerfile.base}`);
  const made = await Deno.stat(`${dir}/usr/bin/tini`).then(() => true, () => false);
  if (!made) {
    await Deno.mkdir(dir, { recursive: true });
    // Debian's own images are made of minbase.
    await run("mmdebstrap", ["--variant=minbase", `--include=${dockerfile.packages.join(",")}`, tag[1]!, dir]);
  }
  await installRunner(dir, dockerfile);
  const listed = await run("chroot", [dir, "dpkg-query", "-W", "-f=${Package} ${Version}\n", ...dockerfile.packages]);
  return {
    dockerfile,
    dir,
    packages: Object.fromEntries(listed.trim().split("\n").map((line) => line.split(" ", 2))),
    enter: (env) => enter(dir, { dockerfile, env }),
  };
}

/** The Dockerfile's steps after the packages: Deno, the user, its directories, the sources and their packages. */
async function installRunner(dir: string, { copies, env }: Dockerfile): Promise<void> {
  await Deno.copyFile(Deno.execPath(), `${dir}/usr/local/bin/deno`);
  await run("chroot", [dir, "sh", "-c", `id runner >/dev/null 2>&1 || useradd --uid ${UID} --create-home runner`]);
  await Deno.remove(`${dir}/app`, { recursive: true }).catch(() => {});
  for (const { from, to } of copies) {
    const place = new URL(to, `file://${dir}/app/`).pathname;
    await Deno.mkdir(place, { recursive: true });
    for (const path of from) {
      const isDirectory = (await Deno.stat(`${ROOT}${path}`)).isDirectory;
      await run("cp", ["-r", `${ROOT}${path}${isDirectory ? "/." : ""}`, place]);
    }
  }
  // .dockerignore leaves them out.
  await run("find", [`${dir}/app`, "-name", "*_test.ts", "-delete"]);
  await run("rm", ["-rf", `${dir}/app/runner/space`]);
  // With this machine's Deno, which has its proxy and certificates configured.
  await run("deno", ["install", "--quiet", "--frozen", "--entrypoint", "runner/main.ts"], {
    cwd: `${dir}/app`,
    env: { DENO_DIR: `${dir}${env.DENO_DIR}` },
  });
  await run("chroot", [dir, "sh", "-c", `mkdir -p /work && chown -R runner /work /app ${env.DENO_DIR}`]);
}

/** Read-only except /work and /tmp, no capabilities, no new privileges; the network is this machine's. */
function enter(
  dir: string,
  { dockerfile, env }: { dockerfile: Dockerfile; env: Readonly<Record<string, string>> },
): readonly string[] {
  const mounts = [
    'mount --make-rprivate / && mount --bind "$0" "$0" && mount -o remount,bind,ro "$0"',
    'mount --rbind /proc "$0/proc" && mount --rbind /dev "$0/dev"',
    `mount -t tmpfs -o uid=${UID},gid=${UID},mode=755 work "$0/work" && mount -t tmpfs tmp "$0/tmp"`,
    'exec chroot "$0" "$@"',
  ].join(" && ");
  const variables = {
    PATH: "/usr/local/bin:/usr/bin:/bin",
    HOME: "/home/runner",
    TINI_SUBREAPER: "1",
    ...dockerfile.env,
    ...env,
  };
  return [
    ...["unshare", "--mount", "sh", "-c", mounts, dir],
    ...["setpriv", `--reuid=${UID}`, `--regid=${UID}`, "--clear-groups", "--no-new-privs"],
    ...["--bounding-set=-all", "--inh-caps=-all"],
    ...["env", "-i", "--chdir=/app", ...Object.entries(variables).map(([name, value]) => `${name}=${value}`)],
    ...dockerfile.entrypoint,
  ];
}

async function run(program: string, args: readonly string[], options: Deno.CommandOptions = {}): Promise<string> {
  const command = program === "deno" ? Deno.execPath() : program;
  const output = await new Deno.Command(command, { ...options, args: [...args], stdout: "piped", stderr: "piped" })
    .output()
    .catch((error) => {
      throw error instanceof Deno.errors.NotFound ? new Error(`${program} is not installed`, { cause: error }) : error;
    });
  if (output.success) return new TextDecoder().decode(output.stdout);
  throw new Error(`${program}: ${new TextDecoder().decode(output.stderr).trim().split("\n").slice(-5).join("\n")}`);
}
