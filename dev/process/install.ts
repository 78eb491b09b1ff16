/**
 * Installs missing programs from the operating system's packages: aria2 and ffmpeg, and Chromium for tests. Uses
 * apt-get as root (or with sudo that needs no password) and brew on macOS; otherwise it prints the command to run.
 */
import { SetupError } from "./setup_error.ts";

export interface Program {
  /** Any of these names on the PATH is sufficient. */
  readonly names: readonly string[];
  readonly apt: string;
  readonly brew: string;
}

export const ARIA2: Program = { names: ["aria2c"], apt: "aria2", brew: "aria2" };
export const FFMPEG: Program = { names: ["ffmpeg", "ffprobe"], apt: "ffmpeg", brew: "ffmpeg" };
export const CHROMIUM: Program = {
  names: ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"],
  apt: "chromium",
  brew: "--cask chromium",
};

/** Installs the missing ones of `programs`. @throws {SetupError} with the exact command to run. */
export async function installPrograms(programs: readonly Program[], log: (line: string) => void): Promise<void> {
  const missing = programs.filter((program) => findProgram(program) === undefined);
  if (missing.length === 0) return;
  const names = missing.map((program) => program.apt).join(", ");
  const commands = await installCommands(missing);
  if (commands === undefined) {
    throw new SetupError("missing_program", `${names} missing: run ${manualCommand(missing)}, then start again`);
  }
  log(`installing ${names}`);
  for (const command of commands) {
    const { success, stderr } = await new Deno.Command(command[0]!, {
      args: command.slice(1),
      env: { DEBIAN_FRONTEND: "noninteractive" },
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).output();
    if (success) continue;
    const reason = new TextDecoder().decode(stderr).trim().split("\n").at(-1) ?? "";
    throw new SetupError("missing_program", `could not install ${names} (${reason}): run ${manualCommand(missing)}`);
  }
}

/** Path of the program, or undefined if it is not installed. */
export function findProgram(program: Program): string | undefined {
  const folders = (Deno.env.get("PATH") ?? "").split(":").filter(Boolean);
  const paths = program.names.map((name) => folders.map((folder) => `${folder}/${name}`).find(isExecutable));
  return paths.find((path) => path !== undefined);
}

function isExecutable(path: string): boolean {
  try {
    const { isFile, mode } = Deno.statSync(path);
    return isFile && ((mode ?? 0) & 0o111) !== 0;
  } catch {
    return false;
  }
}

async function installCommands(programs: readonly Program[]): Promise<string[][] | undefined> {
  if (Deno.build.os === "darwin" && isInstalled("brew")) {
    return programs.map((program) => ["brew", "install", ...program.brew.split(" ")]);
  }
  if (!isInstalled("apt-get")) return undefined;
  const prefix = Deno.uid() === 0 ? [] : await canSudo() ? ["sudo", "-n"] : undefined;
  if (prefix === undefined) return undefined;
  const packages = programs.map((program) => program.apt);
  return [
    [...prefix, "apt-get", "-q", "update"],
    [...prefix, "apt-get", "-q", "-y", "--no-install-recommends", "install", ...packages],
  ];
}

function manualCommand(programs: readonly Program[]): string {
  if (Deno.build.os === "darwin") return `brew install ${programs.map((program) => program.brew).join(" ")}`;
  const install = `apt-get install -y ${programs.map((program) => program.apt).join(" ")}`;
  return Deno.uid() === 0 ? install : `sudo ${install}`;
}

function isInstalled(name: string): boolean {
  return findProgram({ names: [name], apt: "", brew: "" }) !== undefined;
}

async function canSudo(): Promise<boolean> {
  if (!isInstalled("sudo")) return false;
  return (await new Deno.Command("sudo", { args: ["-n", "true"], stdout: "null", stderr: "null" }).output()).success;
}
