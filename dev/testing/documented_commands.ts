// The documented commands: lines of shell blocks in Markdown files, and command lines in running text.
import { join } from "node:path";

const ROOT = new URL("../..", import.meta.url).pathname;

export interface DocumentedCommand {
  readonly file: string;
  readonly line: number;
  /** As documented, without its comment; a here-document with all its lines. */
  readonly text: string;
}

export async function documentFiles(): Promise<readonly string[]> {
  const { stdout } = await new Deno.Command("git", { args: ["ls-files", "*.md"], cwd: ROOT }).output();
  return new TextDecoder().decode(stdout).trim().split("\n");
}

/** Commands of fenced blocks marked as shell. */
export async function blockCommands(): Promise<readonly DocumentedCommand[]> {
  const found: DocumentedCommand[] = [];
  for (const file of await documentFiles()) found.push(...commandsOf(file, await Deno.readTextFile(join(ROOT, file))));
  return found;
}

/** `deno task …`, `npx …`, `docker …` in running text and in blocks that are not shell, such as a usage text. */
export async function inlineCommands(): Promise<readonly DocumentedCommand[]> {
  const found: DocumentedCommand[] = [];
  for (const file of await documentFiles()) {
    const text = (await Deno.readTextFile(join(ROOT, file))).replace(
      /^```(?:sh|bash|shell|console)\n[\s\S]*?^```$/gm,
      blank,
    );
    for (const [index, line] of text.split("\n").entries()) {
      const commands = /^(deno task|npx|docker) /.test(line)
        ? [line]
        : [...line.matchAll(/`((?:deno|npx|docker|supabase|wrangler) [^`]+)`/g)].map((match) => match[1]!);
      found.push(...commands.map((command) => ({ file, line: index + 1, text: command.trim() })));
    }
  }
  return found;
}

/** Keeps line numbers. */
function blank(text: string): string {
  return text.replace(/[^\n]/g, "");
}

export function commandsOf(file: string, text: string): readonly DocumentedCommand[] {
  const found: DocumentedCommand[] = [];
  const lines = text.split("\n");
  let inBlock = false;
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at]!;
    if (line.startsWith("```")) {
      inBlock = !inBlock && /^```(sh|bash|shell|console)\b/.test(line);
      continue;
    }
    const first = at + 1;
    let command = line.replace(/(^|\s)#\s.*$/, "").trim();
    if (!inBlock || command === "") continue;
    while (command.endsWith("\\")) command = `${command.slice(0, -1).trim()} ${lines[++at]!.trim()}`;
    const end = /<<'?(\w+)'?$/.exec(command)?.[1];
    if (end !== undefined) {
      do command += `\n${lines[++at]}`; while (lines[at] !== end);
    }
    found.push({ file, line: first, text: command });
  }
  return found;
}
