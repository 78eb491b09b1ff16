/**
 * Lint rules for the import table of docs/reference/architecture.md: `core/` stays pure, and the environment is read in one place.
 * Example: `import { log } from "../runner/log.ts"` in functions/ → "functions may import core, sources; not runner".
 * Loaded by "lint.plugins" in deno.json.
 */

/** What each directory may import in addition to itself. A directory that is not listed (dev, tests, bench) may import anything. */
export const DIRECTORY_IMPORTS: Readonly<Record<string, readonly string[]>> = {
  core: [],
  sources: ["core"],
  supabase: [],
  functions: ["core", "sources"],
  runner: ["core", "sources"],
  "cf-proxy": ["core"],
  web: ["core"],
  cli: ["core", "sources", "functions", "runner", "cf-proxy", "dev"],
};

/** Directories that production code must not import; a test next to its file may import `dev`. */
const UNRESTRICTED = ["dev", "tests", "bench"];
const WORKER_DIRECTORIES = ["core", "cf-proxy", "web"];

const ROOT = new URL("../../", import.meta.url);

interface Place {
  readonly directory: string;
  readonly path: string;
}

/** Directory and repository path of a file URL, null outside of all directories. */
function placeOf(file: URL): Place | null {
  if (!file.href.startsWith(ROOT.href)) return null;
  const path = decodeURIComponent(file.href.slice(ROOT.href.length));
  const directory = path.split("/")[0] ?? "";
  return directory in DIRECTORY_IMPORTS || UNRESTRICTED.includes(directory) ? { directory, path } : null;
}

/** Why `filename` must not import `specifier`; null if it may. */
export function importProblem(filename: string, specifier: string): string | null {
  const from = placeOf(new URL(`file://${filename.split("/").map(encodeURIComponent).join("/")}`));
  if (from === null) return null;
  if (/^(npm|jsr|https?):/.test(specifier)) {
    return `"${specifier}" names a version here: add it to import_map.json and import the bare name`;
  }
  if (WORKER_DIRECTORIES.includes(from.directory) && !from.path.endsWith("_test.ts") && /^zod(\/|$)/.test(specifier)) {
    return "zod would make the Worker 100 kB larger: parse by hand in core and cf-proxy";
  }
  if (!/^(\.{1,2}\/|\/|file:)/.test(specifier)) return null;
  const allowed = DIRECTORY_IMPORTS[from.directory];
  if (allowed === undefined) return null;
  const target = new URL(specifier, new URL(from.path, ROOT));
  const to = placeOf(target);
  if (to === null) {
    return target.href.startsWith(ROOT.href) ? null : `"${specifier}" is outside the repository`;
  }
  if (to.directory === from.directory || allowed.includes(to.directory)) return null;
  if (from.path.endsWith("_test.ts") && to.directory === "dev") return null;
  const may = allowed.length === 0 ? "nothing but itself" : allowed.join(", ");
  return `${from.directory} may import ${may}; not ${to.directory}`;
}

function directoryOfFile(filename: string): string | null {
  return placeOf(new URL(`file://${filename}`))?.directory ?? null;
}

function isMember(node: Deno.lint.Node, object: string, property?: string): boolean {
  return node.type === "MemberExpression" && node.object.type === "Identifier" && node.object.name === object &&
    (property === undefined || (node.property.type === "Identifier" && node.property.name === property));
}

const plugin: Deno.lint.Plugin = {
  name: "directories",
  rules: {
    imports: {
      create(context) {
        const check = (node: Deno.lint.Node, source: Deno.lint.Node | null) => {
          if (source === null) return;
          if (source.type !== "Literal" || typeof source.value !== "string") {
            const directory = directoryOfFile(context.filename);
            if (directory !== null && directory in DIRECTORY_IMPORTS && !context.filename.endsWith("_test.ts")) {
              context.report({
                node,
                message: "a computed import cannot be checked against the import table: name the file",
              });
            }
            return;
          }
          const problem = importProblem(context.filename, source.value);
          if (problem !== null) context.report({ node, message: problem });
        };
        return {
          ImportDeclaration: (node) => check(node, node.source),
          ImportExpression: (node) => check(node, node.source),
          ExportAllDeclaration: (node) => check(node, node.source),
          ExportNamedDeclaration: (node) => check(node, node.source),
          TSImportType(node) {
            const argument: Deno.lint.Node = node.argument;
            check(node, argument.type === "TSLiteralType" ? argument.literal : argument);
          },
        };
      },
    },
    "pure-core": {
      create(context) {
        if (directoryOfFile(context.filename) !== "core" || context.filename.endsWith("_test.ts")) return {};
        const impure = (node: Deno.lint.Node, what: string) =>
          context.report({ node, message: `core is pure: take ${what} as an argument` });
        return {
          MemberExpression(node) {
            if (isMember(node, "Deno")) impure(node, "what Deno gives");
            if (isMember(node, "Date", "now")) impure(node, "the time");
            if (isMember(node, "Math", "random")) impure(node, "randomness");
          },
          NewExpression(node) {
            if (node.callee.type === "Identifier" && node.callee.name === "Date" && node.arguments.length === 0) {
              impure(node, "the time");
            }
          },
          CallExpression(node) {
            if (node.callee.type === "Identifier" && node.callee.name === "fetch") impure(node, "fetch");
          },
        };
      },
    },
    "env-in-one-place": {
      create(context) {
        const directory = directoryOfFile(context.filename);
        // Every file of cli/ with a main part is a program of its own.
        const composes = directory === "cli" || /\/(env|main|index|worker)\.ts$|_test\.ts$/.test(context.filename);
        if (directory === null || !(directory in DIRECTORY_IMPORTS) || composes) return {};
        return {
          MemberExpression(node) {
            if (isMember(node, "Deno", "env")) {
              context.report({
                node,
                message: "the environment is read in env.ts alone: take the value as an argument",
              });
            }
          },
        };
      },
    },
  },
};

export default plugin;
