// The causal graph: choose a node to see its causes and what it causes, or a path.
import { useMemo, useRef } from "preact/hooks";
import type { Graph, GraphCheck } from "../api";
import { nameOf } from "../names";
import { useMedia, useShared } from "../state";
import { edgeKey, layout, type Point } from "./layers";
import { reach, type Path } from "./paths";

const NODE_HEIGHT = 34;

export function CausalGraph(props: {
  graph: Graph;
  chosen: string | null;
  path: Path | null;
  checks: readonly GraphCheck[];
  onChoose: (node: string | null) => void;
}) {
  const { lang, w } = useShared();
  const upright = useMedia("(max-width: 760px)");
  const { graph, chosen, path } = props;
  const ref = useRef<SVGSVGElement>(null);
  const found = useMemo(() => layout(graph.nodes, graph.directed, upright ? 0.22 : 0.45), [graph, upright]);
  const NODE_WIDTH = upright ? 80 : 108;
  const [alongGap, acrossGap] = upright ? [82, 88] : [176, 58];
  const centre = Math.max(0, (found.slots - 1) / 2) * acrossGap;
  const spot = (cell: { layer: number; slot: number } | undefined): Point => {
    const along = (cell?.layer ?? 0) * alongGap;
    const across = centre + (cell?.slot ?? 0) * acrossGap;
    return upright ? { x: across + NODE_WIDTH / 2, y: along + NODE_HEIGHT / 2 } : { x: along + NODE_WIDTH / 2, y: across + NODE_HEIGHT / 2 };
  };
  const extent = { along: (found.layers - 1) * alongGap, across: (found.slots - 1) * acrossGap };
  const width = (upright ? extent.across : extent.along) + NODE_WIDTH + 8;
  const height = (upright ? extent.along : extent.across) + NODE_HEIGHT + 8;
  const causes = useMemo(() => (chosen ? reach(graph.directed, chosen, false) : new Set<string>()), [graph, chosen]);
  const effects = useMemo(() => (chosen ? reach(graph.directed, chosen, true) : new Set<string>()), [graph, chosen]);
  const onPath = new Set(path ? path.nodes.slice(1).map((node, n) => (path.along[n] ? edgeKey(path.nodes[n]!, node) : edgeKey(node, path.nodes[n]!))) : []);

  function look(from: string, to: string): string {
    if (path) return onPath.has(edgeKey(from, to)) ? "edge path" : "edge faint";
    if (!chosen) return "edge";
    if (causes.has(from) && (to === chosen || causes.has(to))) return "edge cause";
    if ((from === chosen || effects.has(from)) && effects.has(to)) return "edge effect";
    return "edge faint";
  }

  function nodeLook(node: string): string {
    const kinds = ["node"];
    if (graph.latent.includes(node)) kinds.push("latent");
    if (node === "treatment" || node === "outcome") kinds.push("ends");
    if (path) kinds.push(path.nodes.includes(node) ? "path" : "faint");
    else if (chosen === node) kinds.push("chosen");
    else if (chosen) kinds.push(causes.has(node) ? "cause" : effects.has(node) ? "effect" : "faint");
    return kinds.join(" ");
  }

  function drawn(from: string, to: string): string {
    const [a, b] = [spot(found.nodes.get(from)), spot(found.nodes.get(to))];
    const through = (found.bends.get(edgeKey(from, to)) ?? []).map(spot);
    const back = (found.nodes.get(from)?.layer ?? 0) >= (found.nodes.get(to)?.layer ?? 0);
    const start = upright ? { x: a.x, y: a.y + NODE_HEIGHT / 2 } : { x: a.x + NODE_WIDTH / 2, y: a.y };
    const end = upright ? { x: b.x, y: b.y - NODE_HEIGHT / 2 - 7 } : { x: b.x - NODE_WIDTH / 2 - 7, y: b.y };
    if (back) return `M${a.x},${a.y}L${b.x},${b.y}`;
    const points = [start, ...through, end];
    return points.slice(1).reduce((text, next, n) => {
      const before = points[n]!;
      const half = upright ? (next.y - before.y) / 2 : (next.x - before.x) / 2;
      return upright
        ? `${text}C${before.x},${before.y + half} ${next.x},${next.y - half} ${next.x},${next.y}`
        : `${text}C${before.x + half},${before.y} ${next.x - half},${next.y} ${next.x},${next.y}`;
    }, `M${start.x},${start.y}`);
  }

  function move(event: KeyboardEvent, node: string) {
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      props.onChoose(chosen === node ? null : node);
      return;
    }
    if (event.key === "Escape") props.onChoose(null);
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!way) return;
    event.preventDefault();
    const here = spot(found.nodes.get(node));
    let best: { node: string; cost: number } | null = null;
    for (const other of graph.nodes) {
      const there = spot(found.nodes.get(other));
      const [dx, dy] = [there.x - here.x, there.y - here.y];
      const ahead = dx * way[0]! + dy * way[1]!;
      if (ahead <= 1) continue;
      const cost = ahead + 2 * Math.abs(dx * way[1]! + dy * way[0]!);
      if (!best || cost < best.cost) best = { node: other, cost };
    }
    if (best) ref.current?.querySelector<SVGGElement>(`[data-node="${CSS.escape(best.node)}"]`)?.focus();
  }

  return (
    <div class="graph">
      <svg ref={ref} viewBox={`-4 -4 ${width} ${height}`} style={{ maxWidth: `${width * 1.25}px` }} role="group" aria-label={w("Causal graph", "因果图")}>
        <defs>
          {["edge", "cause", "effect", "path", "faint"].map((kind) => (
            <marker key={kind} id={`arrow-${kind}`} class={`arrow ${kind}`} viewBox="0 0 8 8" refX="1" refY="4" markerWidth="7" markerHeight="7" orient="auto" markerUnits="userSpaceOnUse">
              <path d="M0,0.5L8,4L0,7.5Z" />
            </marker>
          ))}
        </defs>
        <g aria-hidden="true">
          {props.checks.map((check) => {
            const [a, b] = [spot(found.nodes.get(check.a)), spot(found.nodes.get(check.b))];
            return <path key={`${check.a} ${check.b} ${check.given}`} class="edge check" d={`M${a.x},${a.y}L${b.x},${b.y}`} />;
          })}
          {graph.directed.map(([from, to]) => {
            const kind = look(from, to);
            return <path key={edgeKey(from, to)} class={kind} d={drawn(from, to)} marker-end={`url(#arrow-${kind.split(" ")[1] ?? "edge"})`} />;
          })}
          {[...graph.bidirected, ...graph.undirected].map(([a, b]) => {
            const [p, q] = [spot(found.nodes.get(a)), spot(found.nodes.get(b))];
            return <path key={`${a}-${b}`} class="edge loose" d={`M${p.x},${p.y}L${q.x},${q.y}`} />;
          })}
        </g>
        {graph.nodes.map((node) => {
          const { x, y } = spot(found.nodes.get(node));
          return (
            <g
              key={node}
              class={nodeLook(node)}
              data-node={node}
              role="button"
              tabindex={0}
              aria-pressed={chosen === node}
              aria-label={`${nameOf(node, lang)}${graph.latent.includes(node) ? w(" (not measured)", "（未测量）") : ""}`}
              transform={`translate(${x - NODE_WIDTH / 2} ${y - NODE_HEIGHT / 2})`}
              onClick={() => props.onChoose(chosen === node ? null : node)}
              onKeyDown={(event) => move(event, node)}
            >
              <rect width={NODE_WIDTH} height={NODE_HEIGHT} rx="9" />
              <text x={NODE_WIDTH / 2} y={NODE_HEIGHT / 2 + 4.5} text-anchor="middle">
                {clipped(nameOf(node, lang), upright ? 11 : 15)}
              </text>
            </g>
          );
        })}
      </svg>
    </div>
  );
}

const clipped = (text: string, most: number) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);
