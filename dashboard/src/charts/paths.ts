// Paths of a causal graph between a treatment and an outcome, and whether they carry association.

export interface Path {
  nodes: string[];
  /** For each step: whether the arrow points along it. */
  along: boolean[];
  kind: "causal" | "backdoor" | "other";
}

export function pathsBetween(edges: readonly (readonly [string, string])[], from: string, to: string, most = 40): Path[] {
  const found: Path[] = [];
  const walk = (nodes: string[], along: boolean[]) => {
    if (found.length >= most) return;
    const last = nodes.at(-1)!;
    if (last === to) {
      const kind = along.every(Boolean) ? "causal" : along[0] ? "other" : "backdoor";
      found.push({ nodes, along, kind });
      return;
    }
    for (const [a, b] of edges) {
      if (a === last && !nodes.includes(b)) walk([...nodes, b], [...along, true]);
      else if (b === last && !nodes.includes(a)) walk([...nodes, a], [...along, false]);
    }
  };
  walk([from], []);
  return found.sort((a, b) => a.nodes.length - b.nodes.length);
}

/** What closes a path when `held` is adjusted for; null where it stays open (d-separation, Pearl 2009, 1.2.3). */
export function closedBy(path: Path, edges: readonly (readonly [string, string])[], held: ReadonlySet<string>): string | null {
  for (let n = 1; n < path.nodes.length - 1; n++) {
    const node = path.nodes[n]!;
    const collider = path.along[n - 1] && !path.along[n];
    const seen = collider && [node, ...reach(edges, node, true)].some((name) => held.has(name));
    if (collider ? !seen : held.has(node)) return node;
  }
  return null;
}

export function reach(edges: readonly (readonly [string, string])[], node: string, down: boolean): Set<string> {
  const found = new Set<string>();
  const queue = [node];
  while (queue.length) {
    const now = queue.pop()!;
    for (const [a, b] of edges) {
      const next = down ? (a === now ? b : null) : b === now ? a : null;
      if (next && !found.has(next)) {
        found.add(next);
        queue.push(next);
      }
    }
  }
  return found;
}
