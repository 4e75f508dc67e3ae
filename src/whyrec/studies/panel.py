"""`Panel`: rows ready for an effect estimator, with what was known before the treatment."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray

from whyrec.errors import BadInput
from whyrec.estimate import FloatArray, IntArray


@dataclass(frozen=True)
class Panel:
    """Rows ready for an effect estimator.

    features: shape (n, d), known before the treatment, missing values filled and marked. treatment: 0 or 1.
    outcome: in the unit that `unit` names. clusters: rows of one cluster depend on each other. weights: what
    each row counts for. frame: the same rows with their ids, for looking at. notes: choices made, in words.
    """

    features: FloatArray
    feature_names: tuple[str, ...]
    treatment: FloatArray
    outcome: FloatArray
    clusters: IntArray
    weights: FloatArray
    unit: str
    frame: pl.DataFrame = field(repr=False)
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.outcome)

    @classmethod
    def from_frame(
        cls, frame: pl.DataFrame, features: list[str], cluster: str, unit: str, notes: tuple[str, ...] = ()
    ) -> Panel:
        """From columns `treatment`, `outcome`, `weight`, the cluster's id and the features; BadInput where
        one is missing a value.
        """
        numbers = frame.select("treatment", "outcome", "weight", *features).cast(pl.Float64)
        for column in numbers.columns:
            if not numbers[column].is_finite().fill_null(False).all():
                raise BadInput(f"panel: column {column!r} holds missing or infinite values; fill and mark them first")
        if numbers["treatment"].n_unique() < 2:
            raise BadInput("panel: every row has the same treatment; no effect can be estimated")
        codes = np.unique(frame[cluster].to_numpy(), return_inverse=True)[1].astype(np.int64)
        columns = {name: numbers[name].to_numpy().astype(np.float64) for name in ("treatment", "outcome", "weight")}
        return cls(
            features=np.ascontiguousarray(numbers.select(features).to_numpy().astype(np.float64)),
            feature_names=tuple(features),
            treatment=columns["treatment"],
            outcome=columns["outcome"],
            clusters=codes,
            weights=columns["weight"],
            unit=unit,
            frame=frame,
            notes=notes,
        )

    def subset(self, mask: NDArray[np.bool_]) -> Panel:
        """The rows that `mask` keeps."""
        return Panel(
            self.features[mask],
            self.feature_names,
            self.treatment[mask],
            self.outcome[mask],
            self.clusters[mask],
            self.weights[mask],
            self.unit,
            self.frame.filter(mask),
            self.notes,
        )
