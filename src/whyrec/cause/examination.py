"""Position: how likely a place is looked at, apart from how good what stands there is.

Position-based model (Richardson, Dominowska and Ragno 2007; Chuklin, Markov and de Rijke 2015, section 3.3): a click needs that the place
was examined and that the item is relevant, P(click | item i, place k) = theta_k gamma_i. Its inverse, 1 / theta_k, is the examination
propensity of unbiased learning to rank (Joachims, Swaminathan and Schnabel 2017). Only the product is identified from one place, so
items must have stood in several; theta is relative to the first place, which is taken as always examined.
"""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from whyrec.cause.inputs import numbers
from whyrec.errors import BadInput, NotIdentified
from whyrec.estimate import FloatArray, IntArray


class ExaminationModel:
    """theta by expectation and maximisation (Wang et al. 2018), relevance as one number an item, shrunk to the mean by `prior` clicks.

    After `fit`: `examination_` (places,), 1 for the first; `relevance_` (items,); `log_likelihood_` (mean a row); `interval_` (places, 2),
    the 95% range over `draws` bootstrap resamples of the sessions (rows where none are given).
    """

    def __init__(self, *, steps: int = 200, prior: float = 1.0, draws: int = 50, random_state: int = 0) -> None:
        self.steps = steps
        self.prior = prior
        self.draws = draws
        self.random_state = random_state

    def fit(self, item: ArrayLike, position: ArrayLike, click: ArrayLike, sessions: ArrayLike | None = None) -> Self:
        """item, position: codes from 0 (n,); click: 0 or 1 (n,). Raises NotIdentified where places share no items with the first."""
        i, k = np.asarray(item, dtype=np.int64), np.asarray(position, dtype=np.int64)
        y = numbers(click, "click", len(i))
        if len(k) != len(i) or len(i) == 0:
            raise BadInput(f"position: {len(k):,} values for {len(i):,} items; give one a row, at least one row")
        if not np.all((y == 0) | (y == 1)):
            raise BadInput(f"click: {y[(y != 0) & (y != 1)][0]:g} is neither 0 nor 1")
        self._connected(i, k)
        cells, cell = np.unique(i * (int(k.max()) + 1) + k, return_inverse=True)
        self._item, self._place = cells // (int(k.max()) + 1), cells % (int(k.max()) + 1)
        ones = np.ones(len(y))
        self.examination_, self.relevance_, self.log_likelihood_ = self._maximise(cell.ravel(), y, ones)
        units = (
            np.arange(len(y)) if sessions is None else np.unique(np.asarray(sessions), return_inverse=True)[1].ravel()
        )
        generator = np.random.default_rng(self.random_state)
        found = [
            self._maximise(cell.ravel(), y, generator.exponential(size=int(units.max()) + 1)[units])[0]
            for _ in range(self.draws)
        ]
        self.interval_ = (
            np.quantile(found, [0.025, 0.975], axis=0).T if found else np.full((len(self.examination_), 2), np.nan)
        )
        return self

    def propensity(self, position: ArrayLike) -> FloatArray:
        """Chance that each place is examined, (n,)."""
        place = np.asarray(position, dtype=np.int64)
        if place.size and (place.min() < 0 or place.max() >= len(self.examination_)):
            raise BadInput(
                f"position: {int(place.max())} was never seen; the log has places 0 to {len(self.examination_) - 1}"
            )
        result: FloatArray = self.examination_[place]
        return result

    def _maximise(self, cell: IntArray, y: FloatArray, weight: FloatArray) -> tuple[FloatArray, FloatArray, float]:
        """EM on counts by (item, place): a pass costs as many steps as there are such cells, whatever the rows."""
        shown = np.bincount(cell, weights=weight, minlength=len(self._item))
        clicks = np.bincount(cell, weights=weight * y, minlength=len(self._item))
        rate = float(clicks.sum() / shown.sum())
        theta, gamma = np.full(int(self._place.max()) + 1, 0.9), np.full(int(self._item.max()) + 1, min(2 * rate, 0.9))
        by_place = np.bincount(self._place, weights=shown)
        by_item = np.bincount(self._item, weights=shown, minlength=len(gamma))
        for _ in range(self.steps):
            t, g = theta[self._place], gamma[self._item]
            none = np.maximum(1 - t * g, 1e-12)
            examined = clicks + (shown - clicks) * t * (1 - g) / none
            relevant = clicks + (shown - clicks) * g * (1 - t) / none
            moved = np.bincount(self._place, weights=examined) / np.maximum(by_place, 1e-12)
            gamma = (np.bincount(self._item, weights=relevant, minlength=len(gamma)) + self.prior * gamma.mean()) / (
                by_item + self.prior
            )
            if np.abs(moved - theta).max() < 1e-7:
                theta = moved
                break
            theta = moved
        scale = theta[0] if theta[0] > 0 else 1.0
        t, g = theta[self._place], gamma[self._item]
        p = np.clip(t * g, 1e-12, 1 - 1e-12)
        fit = float((clicks * np.log(p) + (shown - clicks) * np.log1p(-p)).sum() / shown.sum())
        return theta / scale, gamma * scale, fit

    @staticmethod
    def _connected(item: IntArray, place: IntArray) -> None:
        """Places are comparable when a chain of shared items leads from each to the first."""
        from scipy.sparse import coo_matrix
        from scipy.sparse.csgraph import connected_components

        places = int(place.max()) + 1
        size = places + int(item.max()) + 1
        links = coo_matrix((np.ones(len(item)), (place, places + item)), shape=(size, size))
        part = connected_components(links, directed=False)[1]
        apart = np.flatnonzero(part[np.unique(place)] != part[np.unique(place)[0]])
        if len(apart):
            raise NotIdentified(
                f"place {int(np.unique(place)[apart[0]])} shares no item with the first places, not even through others: its examination cannot be told "
                "from the relevance of its items; swap items between places for a share of the impressions"
            )
