"""What a graph says must be independent, and whether the data agree."""

from __future__ import annotations

from collections.abc import Collection
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from whyrec.cause.graph.index import bits
from whyrec.errors import BadInput
from whyrec.estimate import FloatArray, two_sided
from whyrec.metrics.significance import holm

if TYPE_CHECKING:
    from whyrec.cause.graph.causal_graph import CausalGraph

_MOST_KINDS = 50  # of a text column, above which it is an identifier and not a variable


def implied_independences(
    graph: CausalGraph, observed: Collection[str] | None = None
) -> list[tuple[str, str, tuple[str, ...]]]:
    """(a, b, given) for each observed pair that some set separates.

    The empty set is tried first, then the observed ancestors of the two: if any set separates them, that one does
    (Richardson 2003; van der Zander, Liskiewicz and Textor 2019). A CPDAG or PAG speaks through a member of its class.
    """
    member = graph if graph.kind in ("DAG", "ADMG") else graph.member()
    index, seen = member.index, member.observed(observed)
    nodes = list(bits(seen))
    above = {v: index.ancestors(1 << v) for v in nodes}
    alone = {v: index.reachable(1 << v, 0) for v in nodes}
    found: list[tuple[str, str, tuple[str, ...]]] = []
    for a, b in combinations(nodes, 2):
        joined = (index.parents[a] | index.children[a] | index.siblings[a]) >> b & 1
        if joined:
            continue
        if not alone[a] >> b & 1:
            found.append((member.nodes[a], member.nodes[b], ()))
            continue
        given = (above[a] | above[b]) & seen & ~(1 << a | 1 << b)
        if not index.reachable(1 << a, given) >> b & 1:
            found.append((member.nodes[a], member.nodes[b], member.names(given)))
    return found


def check(graph: CausalGraph, frame: pl.DataFrame, level: float = 0.05) -> pl.DataFrame:
    """Test each implied independence by partial correlation of normal scores, Holm-corrected.

    Normal scores of the ranks (Liu, Lafferty and Wasserman 2009, nonparanormal) make the partial correlation of
    an independence zero whatever the scale of each column; regression on plain ranks does not, and rejects right
    graphs as rows grow. Numeric columns of few values remain approximate. Texts and booleans enter as indicators: the
    test is then Wilks's of the partial canonical correlations (Bartlett 1947), and the correlation is the largest of
    these. Rows with a missing value are left out; a column in which all are missing is an error. Where one of the two is constant,
    or follows from the given columns, the verdict is "untested": any data would agree.
    """
    columns = [name for name in graph.nodes if name in frame.columns and _usable(frame[name])]
    table = frame.select(_clean(frame[name]) for name in columns)
    for name in columns:
        if table.height and table[name].null_count() == table.height:
            raise BadInput(f"column {name!r}: every value is missing; take it out of the data or call it latent")
    table = table.drop_nulls()
    if columns and table.height < len(columns) + 3:
        raise BadInput(f"{table.height} rows have no missing value in {', '.join(columns)}; fill or drop columns")
    blocks = {name: _block(table[name]) for name in columns}
    rows = []
    for a, b, given in implied_independences(graph, columns):
        z = np.column_stack([blocks[name] for name in given]) if given else None
        rows.append((a, b, ", ".join(given), *dependence(blocks[a], blocks[b], z)))
    told = np.array([row[4] for row in rows])
    adjusted = np.full(len(told), np.nan)
    adjusted[~np.isnan(told)] = holm(told[~np.isnan(told)])
    return pl.DataFrame(
        [
            (*row[:3], None, None, "untested") if np.isnan(p) else (*row[:4], p, "rejected" if p < level else "holds")
            for row, p in zip(rows, adjusted.tolist(), strict=True)
        ],
        schema={"a": pl.String, "b": pl.String, "given": pl.String, "correlation": pl.Float64, "p_value": pl.Float64,
                "verdict": pl.String},
        orient="row",
    )  # fmt: skip


def rejections(table: pl.DataFrame) -> str:
    """The answer of `check` in words: how many are rejected, which is the worst, and how strongly."""
    if table.is_empty():
        return "the graph implies no independence that these columns could test"
    against = table.filter(pl.col("verdict") == "rejected")
    untested = table.filter(pl.col("verdict") == "untested").height
    aside = (
        f"; {untested} {'is' if untested == 1 else 'are'} untested, since a column is constant or follows from those that are given"
        if untested
        else ""
    )
    tested = table.height - untested
    if not tested:
        return f"the data can test none of the {table.height} implied independences: a column is constant or follows from those that are given"
    if against.is_empty():
        return f"the data agree with all {tested} implied independences{' that they can test' if untested else ''}{aside}"
    worst = against.sort(pl.col("correlation").abs(), descending=True).row(0, named=True)
    given = f" given {worst['given']}" if worst["given"] else ""
    return (
        f"the data reject {against.height} of {tested} implied independences{' that they can test' if untested else ''}; most strongly "
        f"{worst['a']} and {worst['b']}{given}: partial correlation {worst['correlation']:.2f}, corrected p {told_p(worst['p_value'])}. "
        f"An edge or an unmeasured cause between them is missing, or a direction is wrong{aside}"
    )


def told_p(p: float) -> str:
    """A p-value in words: one too small for a computer's number is not zero."""
    return f"= {p:.2g}" if p > 1e-300 else "< 1e-300"


def dependence(a: FloatArray, b: FloatArray, given: FloatArray | None) -> tuple[float, float]:
    """(partial correlation, p-value) of blocks of columns, each centred, (n, k).

    Single columns: Fisher's z of the partial correlation. Else Bartlett's approximation to Wilks's lambda with
    k_a k_b degrees of freedom, and the largest canonical correlation. Not numbers (nan) where a block is constant or follows from
    the given ones: nothing is left to test.
    """
    n = len(a)
    rank = 0
    if given is not None:
        basis, rank = _basis(given)
        a, b = _left(a, basis), _left(b, basis)
    if not a.any() or not b.any():
        return np.nan, np.nan
    if a.shape[1] == b.shape[1] == 1:
        scale = float(np.sqrt((a[:, 0] @ a[:, 0]) * (b[:, 0] @ b[:, 0])))
        correlation = float(a[:, 0] @ b[:, 0]) / scale
        z = np.arctanh(np.clip(correlation, -0.999999, 0.999999)) * np.sqrt(max(n - rank - 3, 1))
        return correlation, two_sided(float(z))
    (qa, ra), (qb, rb) = _basis(a), _basis(b)
    from scipy.special import chdtrc

    cosines = np.clip(np.linalg.svd(qa.T @ qb, compute_uv=False), 0.0, 0.999999)
    statistic = -(n - 1 - rank - (ra + rb + 1) / 2) * np.log1p(-(cosines**2)).sum()
    return float(cosines[0]), float(chdtrc(ra * rb, statistic))


def _left(block: FloatArray, basis: FloatArray) -> FloatArray:
    """What the basis leaves of each column; zero where that is rounding."""
    left = block - basis @ (basis.T @ block)
    kept = np.linalg.norm(left, axis=0) > 1e-9 * np.linalg.norm(block, axis=0)
    return np.where(kept, left, 0.0)


def normal_scores(ranks: FloatArray) -> FloatArray:
    """Normal quantiles of ranks (van der Waerden), with mean 0 and variance 1; zeros for a constant column."""
    from scipy.special import ndtri

    scores = ndtri(ranks / (len(ranks) + 1))
    spread = scores.std()
    result: FloatArray = (scores - scores.mean()) / spread if spread > 1e-12 else np.zeros_like(scores)
    return result


def _basis(columns: FloatArray) -> tuple[FloatArray, int]:
    """Orthonormal basis of the span, and its rank."""
    u, s, _ = np.linalg.svd(columns, full_matrices=False)
    rank = int((s > 1e-9 * max(float(s[0]) if len(s) else 0.0, 1e-9 * len(columns))).sum())
    return u[:, :rank], rank


def _usable(column: pl.Series) -> bool:
    kind = column.dtype
    if kind.is_numeric() or kind == pl.Boolean or kind == pl.Null:
        return True
    return kind in (pl.String, pl.Categorical, pl.Enum) and column.n_unique() <= _MOST_KINDS


def _clean(column: pl.Series) -> pl.Series:
    if column.dtype.is_numeric():
        values = column.cast(pl.Float64).fill_nan(None)
        if values.is_infinite().any():
            row = int(values.is_infinite().arg_true()[0]) + 1
            raise BadInput(f"column {column.name!r}, row {row}: infinite; mend or remove the value")
        return values
    return column.cast(pl.String)


def _block(column: pl.Series) -> FloatArray:
    """Centred columns that stand for a variable: its normal scores, or one indicator less than it has values."""
    if column.dtype.is_numeric():
        return normal_scores(column.rank().to_numpy())[:, None]
    kinds: Any = column.unique().sort().to_list()
    block = np.column_stack([(column == kind).to_numpy() for kind in kinds[1:]] or [np.zeros(len(column))]).astype(
        float
    )
    centred: FloatArray = block - block.mean(axis=0)
    return centred
