"""What a moment changes in the choice among items: umbrellas when it rains.

The chance of an item in a context c is tilted, p(i | u, c) proportional to p(i | u) exp(g(i, c)), with g(i, c) = phi(c) . (B' f_i + d_i):
phi the features of the moment, f_i the leading directions of the item states, d_i the item's own. Two choices of one user, of items
i and j in contexts c and c', are as likely to stand as they do as

    P = 1 / (1 + exp(-(phi(c) - phi(c')) . (G_i - G_j)))

against the other way round (pairwise conditional likelihood; Liang and Qin 2000): the user's taste p(i | u) and the normalising
constants cancel, whatever they are, so that no model of them can bias the tilt. Slow changes of what is sold do not cancel.
"""

from __future__ import annotations

from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from scipy import sparse
from scipy.optimize import minimize
from scipy.special import expit, log_expit

from whyrec.data.dataset import Dataset
from whyrec.estimate import FloatArray, IntArray
from whyrec.represent.moment import Moments

_AXES, _ROUNDS, _MOST_PAIRS = 16, 4, 1_000_000
# Prior precisions of B and of d that are tried; infinity: none.
_GRID = ((1.0, np.inf), (30.0, np.inf), (1.0, 3.0), (30.0, 3.0), (30.0, 30.0))
_HELD_OUT = 0.2
_SURE = 1.645


class MomentTaste:
    """The tilt g of the items' chances by the features of a moment.

    After `fit`: `item_tilt_` (n_items, features), in log odds; `gain_` (held-out log likelihood a pair gained over no tilt, and its standard
    error over users); `matters_`: whether the gain is surely above 0 (one-sided 5%). The penalty is chosen on the same held-out users.
    """

    def __init__(self, random_state: int = 0) -> None:
        self.random_state = random_state

    def fit(self, dataset: Dataset, moments: Moments, item_states: NDArray[np.float32]) -> Self:
        """Learn from the log's choices; item_states: (n_items, width)."""
        rng = np.random.default_rng(self.random_state)
        self.centre_, self.axes_ = _axes(item_states)
        base = ((item_states - self.centre_) @ self.axes_).astype(np.float64)
        self.item_tilt_ = np.zeros((dataset.n_items, len(moments.names)), dtype=np.float32)
        self.mixing_ = np.zeros((base.shape[1], len(moments.names)), dtype=np.float32)
        self.gain_, self.matters_ = (0.0, 0.0), False
        users, items, others, apart = _pairs(dataset, moments, rng)
        held = rng.random(dataset.n_users) < _HELD_OUT
        test = held[users]
        if test.sum() < 20 or (~test).sum() < 20:
            return self
        difference = _differences(items, others, dataset.n_items)
        best = (-np.inf, _GRID[0])
        for penalty in _GRID:
            tilt, _ = _learn(base, difference[~test], apart[~test], penalty)
            gained = log_expit(np.einsum("nm,nm->n", apart[test], difference[test] @ tilt)) + np.log(2)
            if gained.mean() > best[0]:
                best = (float(gained.mean()), penalty)
                total = np.bincount(users[test], weights=gained - gained.mean())
                self.gain_ = (float(gained.mean()), float(np.sqrt((total**2).sum())) / len(gained))
        self.matters_ = self.gain_[0] > _SURE * self.gain_[1]
        if self.matters_:
            tilt, mixing = _learn(base, difference, apart, best[1])
            self.item_tilt_, self.mixing_ = tilt.astype(np.float32), mixing.astype(np.float32)
        return self

    def of_states(self, item_states: NDArray[np.float32]) -> NDArray[np.float32]:
        """The tilt of items that the log did not have, by their states, (n, features)."""
        return np.asarray((item_states - self.centre_) @ self.axes_ @ self.mixing_, dtype=np.float32)

    def save(self, path: Path) -> None:
        """Arrays to a file."""
        arrays = {"item_tilt": self.item_tilt_, "mixing": self.mixing_, "centre": self.centre_, "axes": self.axes_}
        save_file({name: np.ascontiguousarray(array, dtype=np.float32) for name, array in arrays.items()}, path)

    @classmethod
    def load(cls, path: Path) -> Self:
        """The inverse of `save`."""
        self, arrays = cls(), load_file(path)
        self.item_tilt_, self.mixing_ = arrays["item_tilt"], arrays["mixing"]
        self.centre_, self.axes_, self.matters_ = arrays["centre"], arrays["axes"], True
        return self


def _pairs(
    dataset: Dataset, moments: Moments, rng: np.random.Generator
) -> tuple[IntArray, IntArray, IntArray, FloatArray]:
    """Pairs of choices of one user: the user, the two items, and the difference of the moments' features, (n, features).

    Each user's choices are laid in a random circle, some times over, and each is paired with the next.
    """
    chosen = dataset.interactions
    user, item = (chosen[name].to_numpy().astype(np.int64) for name in ("user_code", "item_code"))
    phi = moments.transform(chosen)
    rounds = max(1, min(_ROUNDS, _MOST_PAIRS // max(len(user), 1)))
    first, second = [], []
    for _ in range(rounds):
        order = np.lexsort((rng.random(len(user)), user))[:_MOST_PAIRS]
        begins = np.r_[True, user[order][1:] != user[order][:-1]] if len(order) else np.zeros(0, dtype=bool)
        start = np.maximum.accumulate(np.where(begins, np.arange(len(order)), 0))
        ends = np.r_[begins[1:], True] if len(order) else begins
        following = np.where(ends, start, np.arange(len(order)) + 1)
        told = (following != np.arange(len(order))) & ~(ends & (np.arange(len(order)) - start == 1))
        first.append(order[told])
        second.append(order[np.minimum(following, max(len(order) - 1, 0))][told])
    a, b = np.concatenate(first), np.concatenate(second)
    kept = (item[a] != item[b]) & (phi[a] != phi[b]).any(axis=1)
    a, b = a[kept], b[kept]
    return user[a], item[a], item[b], phi[a] - phi[b]


def _differences(items: IntArray, others: IntArray, n_items: int) -> sparse.csr_matrix:
    """A row a pair: +1 at the item, -1 at the other, (n, n_items)."""
    n = len(items)
    data, columns = np.tile([1.0, -1.0], n), np.column_stack([items, others]).ravel()
    return sparse.csr_matrix((data, columns, np.arange(0, 2 * n + 1, 2)), shape=(n, n_items))


def _learn(
    states: FloatArray, difference: sparse.csr_matrix, apart: FloatArray, penalty: tuple[float, float]
) -> tuple[FloatArray, FloatArray]:
    """Tilt (n_items, features) and its part by states (axes, features) of largest penalised likelihood."""
    (n_items, axes), m = states.shape, apart.shape[1]
    own = np.isfinite(penalty[1])
    back = difference.T.tocsr()

    def parts(x: FloatArray) -> tuple[FloatArray, FloatArray]:
        mixing = x[: axes * m].reshape(axes, m)
        return mixing, x[axes * m :].reshape(n_items, m) if own else np.zeros((1, m))

    def loss(x: FloatArray) -> tuple[float, FloatArray]:
        mixing, single = parts(x)
        margin = np.einsum("nm,nm->n", apart, difference @ (states @ mixing + single))
        push = back @ (apart * -expit(-margin)[:, None])
        value = -log_expit(margin).sum() + 0.5 * penalty[0] * (mixing**2).sum()
        gradient = [(states.T @ push + penalty[0] * mixing).ravel()]
        if own:
            value += 0.5 * penalty[1] * (single**2).sum()
            gradient.append((push + penalty[1] * single).ravel())
        return float(value), np.concatenate(gradient)

    start = np.zeros(axes * m + (n_items * m if own else 0))
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 60})
    mixing, single = parts(found.x)
    return states @ mixing + single, mixing


def _axes(states: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean (width,) and leading directions (width, axes) of states, each scaled to variance 1."""
    centre = states.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(states.T.astype(np.float64), bias=True).reshape(states.shape[1], -1))
    kept = [k for k in np.argsort(values)[::-1][:_AXES] if values[k] > 1e-8 * max(values.max(), 1e-12)]
    return centre.astype(np.float32), (vectors[:, kept] / np.sqrt(values[kept])).astype(np.float32)
