/**
 * Finds import cycles between production files, and between the folders of a top-level directory.
 * A folder is a node, and so is a file directly in its top-level directory (a composition root, an env.ts).
 * Example: `importCycles(graphOf(files))` → [["cf-proxy/app.ts", "cf-proxy/proxy.ts"]].
 */
import { dirname, join } from "node:path/posix";
import type { TrackedFile } from "./tracked_files.ts";

/** Node → the nodes it imports. */
export type Graph = ReadonlyMap<string, ReadonlySet<string>>;

/** Static and dynamic imports of our own files by relative path, including type-only ones. */
export function graphOf(files: readonly TrackedFile[]): Graph {
  const paths = new Set(files.map(({ path }) => path));
  return new Map(files.map(({ path, text }) => {
    const specifiers = text.matchAll(/^(?:import|export)\b[^;]*?\bfrom\s+"(\.[^"]+)"|\bimport\(\s*"(\.[^"]+)"/gm);
    const targets = [...specifiers].map((match) => join(dirname(path), (match[1] ?? match[2])!));
    return [path, new Set(targets.filter((target) => paths.has(target)))] as const;
  }));
}

/** The same graph with a node per folder. */
export function folderGraph(files: Graph): Graph {
  const graph = new Map<string, Set<string>>();
  for (const [path, targets] of files) {
    const from = folderOf(path);
    const edges = graph.get(from) ?? new Set();
    for (const target of targets) if (folderOf(target) !== from) edges.add(folderOf(target));
    graph.set(from, edges);
  }
  return graph;
}

function folderOf(path: string): string {
  const folder = dirname(path);
  return folder.includes("/") ? folder : path;
}

/** Strongly connected components of more than one node (Tarjan), each sorted. */
export function importCycles(graph: Graph): readonly (readonly string[])[] {
  const order = new Map<string, number>();
  const low = new Map<string, number>();
  const stack: string[] = [];
  const cycles: string[][] = [];
  const visit = (node: string) => {
    order.set(node, order.size);
    low.set(node, order.get(node)!);
    stack.push(node);
    for (const next of graph.get(node) ?? []) {
      if (!order.has(next)) visit(next);
      if (stack.includes(next)) low.set(node, Math.min(low.get(node)!, low.get(next)!));
    }
    if (low.get(node) !== order.get(node)) return;
    const component = stack.splice(stack.indexOf(node));
    if (component.length > 1) cycles.push(component.sort());
  };
  for (const node of graph.keys()) if (!order.has(node)) visit(node);
  return cycles;
}
