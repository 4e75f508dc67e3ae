"""A `CausalGraph` as one SVG file: its edges with their confidence, and the implied independences that the data reject."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from whyrec.cause.discovery.confidence import ConfidenceKind, EdgeConfidence
from whyrec.cause.graph.causal_graph import CausalGraph
from whyrec.errors import BadInput
from whyrec.explain.graph_picture import Line, rejected_lines, standalone

Lang = Literal["en", "zh"]
_WORDS = {
    "directed": ("causes", "导致"),
    "bidirected": ("share a cause that was not measured", "有共同的未测量原因"),
    "undirected": ("direct, but the data do not tell which way", "直接相关，数据无法判断方向"),
    "circle_arrow": ("is not caused by it; more is not known", "不被其导致，其余未知"),
    "circle_circle": ("related; not even the kind is known", "相关，类型未知"),
    "probability": ("number and width: probability of this edge", "数字与线宽：该边存在的概率"),
    "support": (
        "number and width: support of this edge, its share in the graphs drawn; no probability",
        "数字与线宽：该边的支持度，即在抽取的图中出现的比例，不是概率",
    ),
    "share of draws": (
        "number and width: share of bootstrap draws with this edge",
        "数字与线宽：该边在自助样本中出现的比例",
    ),
    "rejected": (
        "no edge here, but the data show dependence (partial correlation)",
        "图中无边，但数据显示相关（偏相关系数）",
    ),
    "holds": ("{n} implied independences tested, {k} rejected", "检验了 {n} 个隐含独立性，拒绝 {k} 个"),
}
_SORTS: dict[str, tuple[str, str, str]] = {
    "directed": ("none", "arrow", "solid"),
    "bidirected": ("arrow", "arrow", "dashed"),
    "undirected": ("none", "none", "solid"),
    "circle_arrow": ("circle", "arrow", "solid"),
    "circle_circle": ("circle", "circle", "solid"),
}


def graph_svg(
    graph: CausalGraph,
    *,
    confidence: Sequence[EdgeConfidence] = (),
    confidence_kind: ConfidenceKind = "probability",
    checks: Sequence[Mapping[str, Any]] = (),
    labels: Mapping[str, str] | None = None,
    treatment: str | None = None,
    outcome: str | None = None,
    title: str = "",
    lang: Lang = "en",
) -> str:
    """The drawing, with a legend of what occurs in it.

    confidence, confidence_kind: of `LearnedGraph`. checks: rows of `CausalGraph.check`; those rejected become dotted lines with their
    partial correlation. labels: words for nodes, such as Chinese ones.
    """
    for name in (treatment, outcome):
        if name is not None and name not in graph.nodes:
            raise BadInput(f"{name!r} is not in the graph; its nodes are {', '.join(graph.nodes)}")
    lines, legend = edge_lines(graph, confidence), []
    zh = int(lang == "zh")
    for sort, (at_a, at_b, look) in _SORTS.items():
        if getattr(graph, sort):
            legend.append((Line("", "", at_a, at_b, look=look), _WORDS[sort][zh]))
    if confidence:
        legend.append((Line("", "", "none", "none", share=1.0), _WORDS[confidence_kind][zh]))
    rejected = rejected_lines(checks)
    lines += rejected
    if rejected:
        legend.append((Line("", "", "none", "none", look="rejected"), _WORDS["rejected"][zh]))
    words = _WORDS["holds"][zh].format(n=sum(check["verdict"] != "untested" for check in checks), k=len(rejected)) if checks else ""
    heading = (" · " if title and words else "").join((title, words)) if title or words else ""
    return standalone(
        layers_of(graph), lines, labels=labels, latent=graph.latent, treatment=treatment, outcome=outcome,
        title=heading, legend=legend,
    )  # fmt: skip


def edge_lines(graph: CausalGraph, confidence: Sequence[EdgeConfidence] = ()) -> list[Line]:
    """Every edge as a line, its label the share of draws that have it this way (for an open one: at all)."""
    known = {frozenset((edge.a, edge.b)): edge for edge in confidence}
    lines = []
    for sort, (at_a, at_b, look) in _SORTS.items():
        for a, b in sorted(getattr(graph, sort)):
            edge = known.get(frozenset((a, b)))
            share = None
            if edge is not None:
                share = edge.seen_from(a).forward if sort in ("directed", "circle_arrow") else edge.adjacent
            lines.append(Line(a, b, at_a, at_b, share, "" if share is None else f"{share:.0%}", look))
    return lines


def layers_of(graph: CausalGraph) -> list[list[str]]:
    """Tiers for drawing, edges short: each node next to its causes or its effects, whichever are more.

    Those of a DAG of the class where directions are open.
    """
    try:
        dag = graph.member()
    except BadInput:
        dag = graph
    tier = {name: k for k, names in enumerate(dag.tiers()) for name in names}
    last = max(tier.values(), default=0)
    for _ in range(10):
        before = dict(tier)
        for name in sorted(tier, key=lambda n: (tier[n], n)):
            causes, effects = dag.parents(name), dag.children(name)
            low = max((tier[c] + 1 for c in causes), default=0)
            high = min((tier[e] - 1 for e in effects), default=last)
            if causes and len(causes) > len(effects):
                tier[name] = low
            elif effects and len(effects) > len(causes):
                tier[name] = high
        if tier == before:
            break
    layers: list[list[str]] = [[] for _ in range(last + 1)]
    for name in dag.nodes:
        layers[tier[name]].append(name)
    return [layer for layer in layers if layer]
