"""Lists that ask for no user: items like an item."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from whyrec.api.model import Table, load, write_table
from whyrec.api.options import as_path
from whyrec.decide.eligible import allowed_items
from whyrec.errors import BadInput

if TYPE_CHECKING:
    from whyrec.decide.causal_recommender import CausalRecommender


def similar(
    model: CausalRecommender | str | Path,
    items: Sequence[Any],
    *,
    k: int = 10,
    where: Sequence[str] = (),
    out: str | Path | None = None,
) -> Table:
    """The k items nearest to each of these in the ranker's item space, nearest first.

    items: ids of the log's items. where: conditions on the item table (`whyrec.data.where`). Columns: item, rank, similar, cosine, text; an item itself is
    left out. UnknownId for an item that is not in the log, BadInput for a bad condition, or where none is left.
    """
    fitted = load(model) if isinstance(model, str | Path) else model
    dataset = fitted.dataset_
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
        raise BadInput(f"k is a whole number of at least 1, not {k!r}")
    allowed = allowed_items(dataset, None, None, where)
    codes = dataset.item_codes(list(items))
    others = np.arange(dataset.n_items) if allowed is None else dataset.item_codes(allowed).astype(np.int64)
    rows: list[tuple[int, int, int, float]] = []
    for code in codes.tolist():
        among = others[others != code]
        cosine = np.asarray(fitted.recommender_.likeness(code, among.astype(np.int32)), dtype=np.float64)
        best = np.argsort(-cosine, kind="stable")[:k]
        rows += [(code, rank, int(among[j]), float(cosine[j])) for rank, j in enumerate(best, start=1)]
    found = pl.DataFrame(rows, schema={"code": pl.Int64, "rank": pl.Int64, "other": pl.Int64, "cosine": pl.Float64}, orient="row")
    names, texts = dataset.items["item"], dataset.items["text"]
    frame = found.select(
        item=names.gather(found["code"]), rank="rank", similar=names.gather(found["other"]), cosine="cosine", text=texts.gather(found["other"])
    )
    if out is not None:
        write_table(frame, Path(out))
    return Table(frame, "similar", as_path(out), {}, (f"by the item space of {fitted.ranker_.name}",))
