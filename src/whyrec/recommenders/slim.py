"""SLIM: every item as a sparse, non-negative mixture of others."""

from __future__ import annotations

import logging
import warnings

import numpy as np
from scipy import sparse
from threadpoolctl import threadpool_limits

from whyrec.data.dataset import Dataset
from whyrec.errors import BadInput
from whyrec.progress import track
from whyrec.recommenders.base import CountScorer, Scores
from whyrec.recommenders.gram import gram, known_items

_log = logging.getLogger(__name__)
_MOST_ITEMS = 20_000


class SLIM(CountScorer):
    """Sparse linear method (Ning and Karypis, 2011, eq. 3).

    Minimises 1/2 |X - X W|^2 + l2/2 |W|^2 + l1 sum |W| subject to W >= 0 and a zero diagonal, with X who interacted
    with what (0 or 1); score_u = x_u W. Each column is an elastic net of its own, solved on the Gram matrix X'X by
    scikit-learn's coordinate descent until its duality gap is below `tolerance` times the column's count, or for
    `iterations` sweeps; the log warns of columns that stopped before. Learns `weights_`, W as items x items CSR, and
    `unconverged_`, how many columns stopped early.
    """

    popular_for_unknown = True

    def __init__(self, l1: float = 5.0, l2: float = 100.0, tolerance: float = 1e-3, iterations: int = 100) -> None:
        self.l1 = l1
        self.l2 = l2
        self.tolerance = tolerance
        self.iterations = iterations

    def _learn(self, dataset: Dataset) -> None:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import enet_path

        if not (self.l1 > 0 and self.l2 >= 0 and np.isfinite(self.l1 + self.l2)):
            raise BadInput(f"SLIM: l1 must be above 0 and l2 0 or more, got {self.l1} and {self.l2}")
        if not self.tolerance > 0 or self.iterations < 1:
            raise BadInput(
                f"SLIM: tolerance must be above 0 and iterations 1 or more, got {self.tolerance} and {self.iterations}"
            )
        # Counts are exact in single precision up to 2^24; a tighter tolerance needs more digits than it has.
        dtype = np.float32 if self.tolerance >= 1e-5 and self.n_users_ < 1 << 24 else np.float64
        items = known_items(self.seen_, _MOST_ITEMS, "SLIM")
        size = len(items)
        columns: list[np.ndarray] = []
        values: list[np.ndarray] = []
        self.unconverged_ = 0
        with threadpool_limits(1, "blas"), warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            product = gram(self.seen_[:, items], dtype)
            # scikit-learn's objective is over rows; one row whose square is the column's count says the same.
            row = np.zeros((1, size), order="F", dtype=dtype)
            for item in track(range(size), "SLIM columns", total=size):
                target = product[item].copy()
                # X'X and W are not negative, so an item that is not its own target never gets a weight.
                target[item] = 0
                _, weights, gaps = enet_path(
                    row,
                    np.array([np.sqrt(product[item, item])], dtype=dtype),
                    l1_ratio=self.l1 / (self.l1 + self.l2),
                    alphas=[self.l1 + self.l2],
                    precompute=product,
                    Xy=target,
                    positive=True,
                    check_input=False,
                    tol=self.tolerance,
                    max_iter=self.iterations,
                )
                self.unconverged_ += int(gaps[0] > self.tolerance * product[item, item])
                chosen = np.flatnonzero(weights[:, 0])
                columns.append(chosen)
                values.append(weights[chosen, 0].astype(np.float32))
        if self.unconverged_:
            _log.warning(
                "SLIM: %d of %d columns stopped after %d sweeps before their tolerance; raise iterations or tolerance",
                self.unconverged_, size, self.iterations,
            )  # fmt: skip
        lengths = [len(chosen) for chosen in columns]
        sources = items[np.concatenate(columns)] if columns else np.zeros(0, dtype=np.int32)
        data = np.concatenate(values) if values else np.zeros(0, dtype=np.float32)
        shape = (self.n_items_, self.n_items_)
        self.weights_ = sparse.csr_matrix((data, (sources, np.repeat(items, lengths))), shape=shape)

    def score_counts(self, counts: sparse.csr_matrix) -> Scores:
        """x_u W, 0 or more."""
        scores = (counts.astype(bool).astype(np.float32) @ self.weights_).toarray()
        return self._filled(np.asarray(scores, dtype=np.float32))
