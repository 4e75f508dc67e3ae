"""Weights of an action's embedding instead of the action: what MIPS and OffCEM weigh the log by.

With many actions pi(a) / p(a) explodes; where the outcome depends on the action only through its embedding e (category,
brand, price class) the weight v(x, e) = pi(e | x) / p(e | x) does as well and is far smaller (Saito and Joachims 2022).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from whyrec.decide.off_policy.rounds import actions, column
from whyrec.errors import BadInput
from whyrec.estimate import FloatArray, IntArray


def cells_of(embedding: NDArray[Any]) -> IntArray:
    """One code a distinct row of categories, (n_actions,); embedding: (n_actions, dimensions) of categories."""
    table = np.asarray(embedding)
    if table.ndim == 1:
        table = table[:, None]
    codes = np.column_stack([np.unique(column, return_inverse=True)[1].ravel() for column in table.T])
    found: IntArray = np.unique(codes, axis=0, return_inverse=True)[1].ravel().astype(np.int64)
    return found


def exact_marginal_weight(target_cell: FloatArray, logged_cell: FloatArray) -> FloatArray:
    """v = pi(e | x) / p(e | x) from both policies' chances of the logged action's cell, (n,).

    Policies of `whyrec.decide.policies` give them through `group_probability`.
    """
    above, below = column(target_cell, "target_cell"), column(logged_cell, "logged_cell", len(target_cell))
    if below.min() <= 0:
        raise BadInput(f"logged_cell: 0 in row {int(np.argmin(below))}; a cell that was taken had a chance above 0")
    return above / below


def learnt_marginal_weight(
    weight: FloatArray, action: IntArray, cells: IntArray, *, context: IntArray | None = None, prior: float = 1.0
) -> FloatArray:
    """v = E[pi / p | x, e] by averages of the logged weights, (n,): for logs that hold only the logged action's chances.

    cells: of each action, (n_actions,). context: a code of the user or segment in each round, (n,); None: the policies do
    not look at the context. The averages leave the round itself out and shrink by `prior` rounds towards the
    cell's average over contexts, that one towards 1.
    """
    n_actions = len(cells)
    code = cells[actions(action, "action", n_actions, len(weight))]
    size = int(cells.max()) + 1
    overall = _left_out_means(weight, code, size, np.ones(len(weight)), prior)
    if context is None:
        return overall
    both = np.unique(np.asarray(context, dtype=np.int64) * size + code, return_inverse=True)[1].ravel()
    return _left_out_means(weight, both, int(both.max()) + 1, overall, prior)


def _left_out_means(weight: FloatArray, code: IntArray, size: int, towards: FloatArray, prior: float) -> FloatArray:
    count = np.bincount(code, minlength=size)
    total = np.bincount(code, weights=weight, minlength=size)
    found: FloatArray = (total[code] - weight + prior * towards) / (count[code] - 1 + prior)
    return found
