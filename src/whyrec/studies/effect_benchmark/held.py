"""What an interval held in one simulated log; designs of `intervals` give these."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from whyrec.estimate import Estimate, FloatArray


@dataclass(frozen=True)
class Held:
    """What one interval was of, whether it held the truth (or the share of several that did), its width, and whether the answer warned.

    promised: whether the answer's assumptions are true in this design; where they are not, coverage is reported and not judged.
    """

    what: str
    held: float
    width: float
    warned: bool = False
    promised: bool = True


Design = Callable[[np.random.Generator], Iterator[Held]]


def of_ends(
    what: str, ends: tuple[float, float], truth: float, *, warned: bool = False, promised: bool = True
) -> Held:
    """One interval."""
    return Held(what, float(ends[0] <= truth <= ends[1]), float(ends[1] - ends[0]), warned, promised)


def of_estimate(what: str, found: Estimate, truth: float, *, promised: bool = True) -> Held:
    """One estimate."""
    return of_ends(what, found.interval, truth, warned=bool(found.warnings), promised=promised)


def of_many(what: str, ends: tuple[FloatArray, FloatArray], truth: FloatArray) -> Held:
    """Several intervals of one log; those without ends are left out."""
    low, high = ends
    known = np.isfinite(low)
    held = ((low <= truth) & (truth <= high))[known]
    return Held(what, float(held.mean()), float((high - low)[known].mean()))
