"""The door of graphs: one reader for every command, HTTP form and parameter, whatever form a graph has."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from whyrec.cause.graph.causal_graph import CausalGraph
from whyrec.cause.graph.forms.objects import read_object
from whyrec.cause.graph.forms.parts import Parts
from whyrec.cause.graph.forms.recognise import parse
from whyrec.errors import BadInput

GraphSource = Any  # a text, a file's path, a CausalGraph, a networkx graph, causal-learn's GeneralGraph
_GAPS = {
    "not_in_table": (
        "in the graph and not in the table, so taken as unmeasured: {}",
        "在图中而不在表中，因此视为未测量：{}",
    ),
    "latent_columns": ("columns that the graph calls latent, so not used: {}", "图中标为潜在的列，因此未使用：{}"),
}
_FILE = re.compile(r'(?!(?:nodes|latent)\s*:)(?!.*--)[^<>{}\[\];,"\n]*[^<>{}\[\];,"\s]\.[A-Za-z]\w{0,7}')


def read_graph(
    source: GraphSource, latent: Collection[str] = (), known: Collection[str] = (), *, files: bool = True
) -> CausalGraph:
    """A graph from its text (short form, dagitty, DOT, GML, BIF, Tetrad), from a file of one, or from an object.

    latent: nodes that the data lack, beside those that the graph calls so. known: names that are asked for, such as the
    columns of a table: a node with an id and a label is called by the one that is among them. files: whether a text
    may name a file (not where it comes from elsewhere). BadInput tells line and column of what is not understood.
    """
    if isinstance(source, CausalGraph):
        graph = source
    elif isinstance(source, str | Path):
        path = _path(source) if files else None
        parts = parse(str(source)) if path is None else _of_file(path)
        graph = _graph(parts, {*known, *latent}, "" if path is None else f"{path}: ")
    else:
        graph = _graph(read_object(source), {*known, *latent})
    return graph.with_latent({*graph.latent, *latent}) if latent else graph


@dataclass(frozen=True)
class GraphOnTable:
    """A graph beside the columns of a table: what of either the other lacks, which every answer tells.

    absent: nodes that are no column, so taken as unmeasured. unused: columns that the graph calls latent.
    """

    graph: CausalGraph
    absent: tuple[str, ...]
    unused: tuple[str, ...]

    @classmethod
    def of(cls, source: GraphSource, columns: Collection[str], latent: Collection[str] = ()) -> GraphOnTable:
        """The graph, read as `read_graph` does, beside a table with these columns."""
        graph, there = read_graph(source, latent, columns), set(columns)
        return cls(
            graph,
            tuple(name for name in graph.nodes if name not in there),
            tuple(sorted(graph.latent & there)),
        )

    def to_dict(self) -> dict[str, Any]:
        """text, the keys of `CausalGraph.to_dict`, not_in_table, latent_columns."""
        return {
            "text": self.graph.to_text(),
            **self.graph.to_dict(),
            "not_in_table": list(self.absent),
            "latent_columns": list(self.unused),
        }

    def lines(self, lang: str = "en") -> tuple[str, ...]:
        """In words; no line where graph and table agree."""
        return told_gaps({"not_in_table": self.absent, "latent_columns": self.unused}, lang)


def told_gaps(content: Mapping[str, Any] | None, lang: str = "en") -> tuple[str, ...]:
    """`GraphOnTable.lines` from its `to_dict`; nothing of None."""
    return tuple(
        words[lang == "zh"].format(", ".join(content[key]))
        for key, words in _GAPS.items()
        if content is not None and content.get(key)
    )


def _graph(parts: Parts, known: Collection[str], where: str = "") -> CausalGraph:
    try:
        return CausalGraph.from_edges(**parts.arguments(known))
    except BadInput as error:
        raise BadInput(f"{where}{error}") from error


def _of_file(path: Path) -> Parts:
    """The parts of a file; .gz is unpacked first."""
    try:
        content = path.read_bytes()
        if path.suffix.lower() == ".gz":
            content = gzip.decompress(content)
        text = content.decode("utf-8-sig")
    except FileNotFoundError as error:
        raise BadInput(f"{path}: no such graph file") from error
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: not a readable text file: {error}") from error
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() != ".gz"]
    try:
        return parse(text, suffixes[-1] if suffixes else "")
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from error


def _path(source: str | Path) -> Path | None:
    """The file that is meant, or None for a graph's text."""
    if isinstance(source, Path):
        return source
    text = source.strip()
    if "\n" in text or len(text) > 1_000:
        return None
    path = Path(text)
    try:
        there = bool(text) and path.exists() and not path.is_dir()
    except (OSError, ValueError):  # no name that a file could have
        return None
    return path if there or _FILE.fullmatch(text) else None
