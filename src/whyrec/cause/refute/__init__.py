"""Attempts to refute an effect; the work is done once and shared by all attempts.

results.py   `Refutation`, `PlaceboRuns`
learned.py   of a fitted DoCalib: its out-of-fold nuisances are used again in every attempt
linear.py    of a linear adjustment: one factorisation (Frisch, Waugh and Lovell), then blocks of matrix products
controls.py  negative control outcome and exposure
after.py     does an adjusted column come after the treatment?

The ideas are DoWhy's (Sharma and Kiciman 2020): a treatment that is only noise must show nothing, a covariate that is
only noise must change nothing, a part of the data must say what the whole says.
"""

from whyrec.cause.refute.controls import negative_control_exposure, negative_control_outcome
from whyrec.cause.refute.learned import placebo_runs, refute
from whyrec.cause.refute.linear import placebo, refute_linear
from whyrec.cause.refute.results import PlaceboRuns, Refutation, attempt_lines

__all__ = [
    "PlaceboRuns",
    "Refutation",
    "attempt_lines",
    "negative_control_exposure",
    "negative_control_outcome",
    "placebo",
    "placebo_runs",
    "refute",
    "refute_linear",
]
