// Places for the nodes of a causal graph: layers by longest path, few crossings (Sugiyama, Tagawa and Toda, 1981).

export interface Point {
  x: number;
  y: number;
}

export interface Layout {
  nodes: Map<string, { layer: number; slot: number }>;
  /** Points between the ends of an edge, where it passes through layers. */
  bends: Map<string, { layer: number; slot: number }[]>;
  layers: number;
  slots: number;
}

export const edgeKey = (from: string, to: string) => `${from}\u0000${to}`;

/** thin: room of an edge that passes a layer by, in nodes. */
export function layout(nodes: readonly string[], edges: readonly (readonly [string, string])[], thin: number): Layout {
  const parents = new Map(nodes.map((node) => [node, edges.filter(([, to]) => to === node).map(([from]) => from)]));
  const children = new Map(nodes.map((node) => [node, edges.filter(([from]) => from === node).map(([, to]) => to)]));
  const depth = new Map<string, number>();
  const deep = (node: string, seen: Set<string>): number => {
    const before = depth.get(node);
    if (before !== undefined) return before;
    if (seen.has(node)) return 0;
    const found = Math.max(-1, ...(parents.get(node) ?? []).map((parent) => deep(parent, new Set([...seen, node])))) + 1;
    depth.set(node, found);
    return found;
  };
  nodes.forEach((node) => deep(node, new Set()));
  // Sources stand beside what they cause, not all at the left.
  for (const node of nodes) {
    const below = (children.get(node) ?? []).map((child) => depth.get(child) ?? 0);
    if (!(parents.get(node) ?? []).length && below.length) depth.set(node, Math.max(0, Math.min(...below) - 1));
  }
  const count = Math.max(0, ...depth.values()) + 1;
  const rows: string[][] = Array.from({ length: count }, () => []);
  [...nodes].sort().forEach((node) => rows[depth.get(node) ?? 0]?.push(node));
  const links: [string, string][] = [];
  const chains = new Map<string, string[]>();
  for (const [from, to] of edges) {
    const chain: string[] = [];
    let last = from;
    for (let layer = (depth.get(from) ?? 0) + 1; layer < (depth.get(to) ?? 0); layer++) {
      const dummy = `\u0001${edgeKey(from, to)}\u0001${layer}`;
      rows[layer]?.push(dummy);
      links.push([last, dummy]);
      chain.push(dummy);
      last = dummy;
    }
    links.push([last, to]);
    chains.set(edgeKey(from, to), chain);
  }
  const place = new Map<string, number>();
  const room = (node: string) => (node.startsWith("\u0001") ? thin : 1);
  const number = () =>
    rows.forEach((row) => {
      let at = -row.reduce((sum, node) => sum + room(node), 0) / 2;
      for (const node of row) {
        place.set(node, at + room(node) / 2);
        at += room(node);
      }
    });
  number();
  const crossings = () => {
    let found = 0;
    for (let a = 0; a < links.length; a++)
      for (let b = a + 1; b < links.length; b++) {
        const [p, q] = [links[a]!, links[b]!];
        const same = rows.some((row) => row.includes(p[0]) && row.includes(q[0]));
        if (same && (place.get(p[0])! - place.get(q[0])!) * (place.get(p[1])! - place.get(q[1])!) < 0) found++;
      }
    return found;
  };
  let best = rows.map((row) => [...row]);
  let fewest = crossings();
  for (let sweep = 0; sweep < 24; sweep++) {
    const down = sweep % 2 === 0;
    const order = rows.map((_, layer) => (down ? layer : count - 1 - layer));
    for (const layer of order) {
      const beside = (node: string) => {
        const near = links.filter(([from, to]) => (down ? to : from) === node).map(([from, to]) => place.get(down ? from : to)!);
        return near.length ? near.reduce((sum, value) => sum + value, 0) / near.length : place.get(node)!;
      };
      rows[layer]?.sort((a, b) => beside(a) - beside(b));
      number();
    }
    const now = crossings();
    if (now < fewest) [fewest, best] = [now, rows.map((row) => [...row])];
  }
  best.forEach((row, layer) => (rows[layer] = row));
  number();
  const at = (node: string, layer: number) => ({ layer, slot: place.get(node) ?? 0 });
  return {
    nodes: new Map(nodes.map((node) => [node, at(node, depth.get(node) ?? 0)])),
    bends: new Map(
      [...chains].map(([key, chain]) => [key, chain.map((dummy) => at(dummy, Number(dummy.split("\u0001").at(-1))))]),
    ),
    layers: count,
    slots: Math.max(1, ...rows.map((row) => row.reduce((sum, node) => sum + room(node), 0))),
  };
}
