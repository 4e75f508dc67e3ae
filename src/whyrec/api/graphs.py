"""The questions about causal graphs: learn one, hold one against data, show one, ask what it identifies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from whyrec.api.options import refuse_idle_language, refuse_unused
from whyrec.cause.discovery.learn import LearnedGraph, learn_graph
from whyrec.cause.discovery.scores import ScoreName
from whyrec.cause.graph.causal_graph import CausalGraph
from whyrec.cause.graph.implied import rejections, told_p
from whyrec.cause.graph.knowledge import Knowledge
from whyrec.cause.graph.read import GraphOnTable, GraphSource, read_graph
from whyrec.cause.identification.bounds import Bounds
from whyrec.cause.identification.estimation import GraphEffect, Strategy, graph_effect, told_estimate
from whyrec.cause.identification.identify import Identification, identify
from whyrec.data.frames import Tabular
from whyrec.data.read import frame_of
from whyrec.errors import BadInput, NotIdentified
from whyrec.estimate import Estimate
from whyrec.explain.graph_drawing import Lang, graph_svg
from whyrec.files import write_json, write_text

if TYPE_CHECKING:
    from whyrec.data.frames import Frame


@dataclass(frozen=True)
class Learned(Tabular):
    """A learned graph, and where it and its picture were written."""

    learned: LearnedGraph
    effects: tuple[Estimate, ...] = ()
    files: tuple[Path, ...] = ()

    def _frame(self) -> pl.DataFrame:
        return self.learned.to_frame()

    @property
    def effect(self) -> Estimate | None:
        """The averaged effect where it is one; None where there is none, or one for each level."""
        return self.effects[0] if len(self.effects) == 1 else None

    def to_dict(self) -> dict[str, Any]:
        """That of the graph, with the averaged effects where one was asked for (`effect` where it is one), and the files."""
        return {
            **self.learned.to_dict(),
            "effect": self.effect.to_dict() if self.effect else None,
            "effects": [effect.to_dict() for effect in self.effects],
            "files": [str(file) for file in self.files],
        }

    def to_text(self) -> str:
        """The edges in lines."""
        lines = [self.learned.to_text()]
        lines += [f"{effect!r}" for effect in self.effects]
        if self.effects:
            d = self.effects[0].diagnostics
            count, none = d["graphs"], round(d["share_without_effect"] * d["graphs"])
            words = f"of {count} graphs drawn" if count > 1 else "of the one graph"
            lines.append(
                f"  {none} {words} have no way from treatment to outcome; a chance of {d['share_undrawn']:.0%} is left, in the interval, to "
                "graphs that were not drawn"
            )
            for share, why in (
                ("share_not_identified", "no adjustment set"),
                ("share_without_overlap", "rows of each level have no like in what is adjusted for"),
            ):
                if d[share] > 0:
                    lines.append(f"  {d[share]:.0%} of the graphs are left out: {why}")
        return "\n".join([*lines, *(f"written: {file}" for file in self.files)])


@dataclass(frozen=True)
class Checked(Tabular):
    """A graph held against data: one row for each implied independence."""

    graph: CausalGraph
    table: pl.DataFrame
    words: str
    on_table: GraphOnTable
    files: tuple[Path, ...] = ()

    def _frame(self) -> pl.DataFrame:
        return self.table

    def to_dict(self) -> dict[str, Any]:
        """graph (see `GraphOnTable`), tests, tested, rejected, words, files."""
        return {
            "graph": self.on_table.to_dict(),
            "tested": int((self.table["verdict"] != "untested").sum()),
            "rejected": int((self.table["verdict"] == "rejected").sum()),
            "words": self.words,
            "tests": self.table.to_dicts(),
            "files": [str(file) for file in self.files],
        }

    def to_text(self) -> str:
        """The verdict, then the tests, the rejected ones first."""
        lines = [self.words + ".", *self.on_table.lines()]
        for row in self.table.sort(pl.col("p_value"), nulls_last=True).to_dicts():
            given = f" given {row['given']}" if row["given"] else ""
            tested = (
                "a column is constant or follows from those given"
                if row["p_value"] is None
                else f"correlation {row['correlation']:+.3f}, p {told_p(row['p_value'])}"
            )
            lines.append(f"  {row['verdict']:<8} {row['a']} and {row['b']}{given}: {tested}")
        return "\n".join([*lines, *(f"written: {file}" for file in self.files)])


@dataclass(frozen=True)
class Shown:
    """A graph as it was read, in another form or as a picture."""

    graph: CausalGraph
    text: str
    files: tuple[Path, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The graph, its text, the files."""
        return {**self.graph.to_dict(), "text": self.text, "files": [str(file) for file in self.files]}

    def to_text(self) -> str:
        """What kind of graph it is, and its text."""
        g = self.graph
        edges = sum(len(e) for e in (g.directed, g.bidirected, g.undirected, g.circle_arrow, g.circle_circle))
        lines = [f"{g.kind} of {len(g.nodes)} nodes and {edges} edges", self.text]
        return "\n".join([*lines, *(f"written: {file}" for file in self.files)])


@dataclass(frozen=True)
class Identified:
    """What a graph says of an effect, and with data the effect or its bounds."""

    identification: Identification
    effect: Estimate | None = None
    bounds: tuple[Bounds, ...] = ()
    on_table: GraphOnTable | None = None

    def to_dict(self) -> dict[str, Any]:
        """graph (see `GraphOnTable`; null without data), identification, effect, bounds."""
        return {
            "graph": self.on_table.to_dict() if self.on_table else None,
            "identification": self.identification.to_dict(),
            "effect": self.effect.to_dict() if self.effect else None,
            "bounds": [bound.to_dict() for bound in self.bounds],
        }

    def to_text(self) -> str:
        """The proof in words, then the number or the bounds."""
        lines = [self.identification.to_text(), *(self.on_table.lines() if self.on_table else ())]
        if self.effect:
            lines += told_estimate(self.effect)
        return "\n".join([*lines, *(bound.to_text() for bound in self.bounds)])


def graph_learn(
    data: Path | str | Frame,
    *,
    method: str = "boss",
    columns: Sequence[str] | None = None,
    knowledge: str | Knowledge | None = None,
    cluster: str | None = None,
    draws: int = 50,
    score: ScoreName = "auto",
    alpha: float = 0.01,
    time_budget: float | None = None,
    treatment: str | None = None,
    outcome: str | None = None,
    contrast: tuple[Any, Any] | None = None,
    leave_out: bool = False,
    out: str | Path | None = None,
    picture: str | Path | None = None,
    lang: Lang = "en",
    random_state: int = 0,
) -> Learned:
    """Learn a graph from a table; with treatment and outcome, their effect averaged over the graphs that were drawn.

    contrast: two levels of the treatment, from and to; by default each against the first. leave_out: see `learn_graph`.
    """
    refuse_idle_language(lang, picture)
    if (treatment is None) != (outcome is None):
        raise BadInput("an averaged effect needs both --treatment and --outcome; give both, or neither")
    if contrast is not None and treatment is None:
        raise BadInput("--contrast is of an effect: name --treatment and --outcome")
    frame = read_frame(data)
    learned = learn_graph(
        frame, method, columns=columns, knowledge=knowledge, cluster=cluster, draws=draws, score=score,
        alpha=alpha, time_budget=time_budget, leave_out=leave_out, random_state=random_state,
    )  # fmt: skip
    effects: tuple[Estimate, ...] = ()
    if treatment and outcome:
        for name in (treatment, outcome):
            if name in learned.columns_left_out:
                raise BadInput(
                    f"column {name!r} {learned.columns_left_out[name]}, and was left out: leave the other out in its place (--columns), or "
                    "ask for another effect"
                )
        from whyrec.cause.identification.average import average_effects

        effects = average_effects(
            frame, learned.draws or (learned.graph,), treatment, outcome, cluster=cluster, contrast=contrast,
            random_state=random_state,
        )  # fmt: skip
    files = []
    if out:
        files.append(_write(out, in_form(learned.graph, _form(out))))
    if picture:
        svg = graph_svg(
            learned.graph,
            confidence=learned.confidence,
            confidence_kind=learned.confidence_kind,
            treatment=treatment,
            outcome=outcome,
            lang=lang,
        )
        files.append(_write(picture, svg))
    return Learned(learned, effects, tuple(files))


def graph_check(
    graph: GraphSource,
    data: Path | str | Frame,
    *,
    latent: Sequence[str] = (),
    level: float = 0.05,
    picture: str | Path | None = None,
    lang: Lang = "en",
) -> Checked:
    """Test every independence that a graph implies on a table."""
    refuse_idle_language(lang, picture)
    frame = read_frame(data)
    on_table = GraphOnTable.of(graph, frame.columns, latent)
    drawn = on_table.graph
    known = [name for name in drawn.nodes if name in frame.columns]
    if not known:
        raise BadInput(
            f"the table has none of the graph's nodes ({', '.join(drawn.nodes[:10])}); its columns are "
            f"{', '.join(frame.columns[:20])}"
        )
    table = drawn.check(frame, level)
    files = (_write(picture, graph_svg(drawn, checks=table.to_dicts(), lang=lang)),) if picture else ()
    return Checked(drawn, table, rejections(table), on_table, files)


def graph_show(
    graph: GraphSource,
    *,
    form: Literal["text", "dagitty", "dot", "gml"] = "text",
    latent: Sequence[str] = (),
    treatment: str | None = None,
    outcome: str | None = None,
    out: str | Path | None = None,
    picture: str | Path | None = None,
    lang: Lang = "en",
) -> Shown:
    """Read a graph in any form and write it in another, or draw it."""
    refuse_idle_language(lang, picture)
    drawn = read_graph(graph, latent, [name for name in (treatment, outcome) if name])
    text = in_form(drawn, form)
    files = [_write(out, text)] if out else []
    if picture:
        files.append(_write(picture, graph_svg(drawn, treatment=treatment, outcome=outcome, lang=lang)))
    return Shown(drawn, text, tuple(files))


def graph_identify(
    graph: GraphSource,
    treatment: str,
    outcome: str,
    *,
    data: Path | str | Frame | None = None,
    observed: Sequence[str] | None = None,
    latent: Sequence[str] = (),
    strategy: Strategy = "auto",
    cluster: str | None = None,
    contrast: tuple[Any, Any] | None = None,
    kind: Literal["binary", "dose"] | None = None,
    missing: Literal["weights", "complete", "indicator"] = "weights",
    random_state: int = 0,
) -> Identified:
    """Which formula gives the effect; with data, the effect itself, or bounds where there is no formula.

    Without data NotIdentified is not raised: the answer says so. With data it is answered by bounds. contrast: the values of the
    treatment to compare, from and to; kind: "dose" says that its whole numbers are amounts. missing: see `graph_effect`.
    """
    if data is not None and observed is not None:
        raise BadInput("observed: with a table its columns are what is measured; leave one of the two out")
    if data is None:
        asked = {
            "strategy": None if strategy == "auto" else strategy, "cluster": cluster, "contrast": contrast, "kind": kind,
            "missing": None if missing == "weights" else missing,
        }  # fmt: skip
        refuse_unused(asked, "without data there is nothing to estimate: name the table, too")
        drawn = read_graph(graph, latent, (treatment, outcome, *(observed or ())))
        return Identified(identify(drawn, treatment, outcome, observed))
    frame = read_frame(data)
    on_table = GraphOnTable.of(graph, frame.columns, latent)
    drawn = on_table.graph
    try:
        found: GraphEffect = graph_effect(
            frame, drawn, treatment, outcome, strategy=strategy, cluster=cluster, contrast=contrast, kind=kind, missing=missing,
            random_state=random_state,
        )
    except NotIdentified as error:
        if not error.bounds:
            raise
        seen = [name for name in drawn.nodes if name in frame.columns]
        return Identified(identify(drawn, treatment, outcome, seen), None, error.bounds, on_table)
    return Identified(found.identification, found.estimate, (), on_table)


def read_frame(source: Path | str | Frame) -> pl.DataFrame:
    """A table, or a file of one."""
    return frame_of(source)


def in_form(graph: CausalGraph, form: str) -> str:
    """The graph as text of one of the forms."""
    if form == "dagitty":
        return graph.to_dagitty()
    if form == "dot":
        return graph.to_dot()
    return graph.to_gml() if form == "gml" else graph.to_text()


def _form(path: str | Path) -> str:
    return {".dot": "dot", ".gv": "dot", ".gml": "gml", ".dagitty": "dagitty"}.get(Path(path).suffix.lower(), "text")


def _write(path: str | Path, text: str) -> Path:
    write_text(Path(path), text + "\n")
    return Path(path)


def graph_benchmark(
    data: str | Path,
    *,
    quick: bool = False,
    only: Sequence[str] | None = None,
    out: str | Path | None = None,
    random_state: int = 0,
) -> Any:
    """Graphs against truth, table by table; see `whyrec.studies.graph_benchmark`."""
    from whyrec.studies.graph_benchmark import graph_benchmark as run

    result = run(Path(data), quick=quick, only=only, random_state=random_state)
    if out is not None and Path(out).suffix == ".md":
        write_text(Path(out), result.to_markdown())
    elif out is not None:
        write_json(Path(out), result.to_dict())
    return result
