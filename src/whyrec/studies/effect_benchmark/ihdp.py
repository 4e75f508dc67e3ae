"""IHDP: 747 infants, real covariates, simulated outcomes with both means known (Hill 2011), five files of the classic hundred."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from whyrec.cause.docalib import DoCalib
from whyrec.cause.learners import Learner
from whyrec.cause.pair_effects import PairEffects
from whyrec.errors import BadInput
from whyrec.estimate import Estimate, FloatArray, IntArray
from whyrec.metrics.effect import pehe
from whyrec.progress import track
from whyrec.studies.measured import Claim, Part

FILES = 5
Fitted = tuple[Callable[[FloatArray], FloatArray], Estimate]


@dataclass(frozen=True)
class Infants:
    """features (n, 25), treatment, outcome (n,), effect (n,) in truth."""

    features: FloatArray
    treatment: IntArray
    outcome: FloatArray
    effect: FloatArray

    @classmethod
    def read(cls, path: Path) -> Infants:
        """From one file: treatment, y, counterfactual y, mu0, mu1, x1 to x25."""
        if not path.is_file():
            raise BadInput(f"{path} is missing; --data is the folder that holds ihdp/")
        table = np.loadtxt(path, delimiter=",")
        return cls(table[:, 5:], table[:, 0].astype(np.int64), table[:, 1], table[:, 4] - table[:, 3])


def methods(forest: bool) -> dict[str, Callable[[FloatArray, IntArray, FloatArray], Fitted]]:
    """Every learner of the table, by name."""

    def learner(**parameters: Any) -> Callable[[FloatArray, IntArray, FloatArray], Fitted]:
        def fit(x: FloatArray, a: IntArray, y: FloatArray) -> Fitted:
            fitted = Learner(**parameters).fit(x, a, y)
            return fitted.predict, fitted.effect_

        return fit

    def docalib(outcome: str) -> Callable[[FloatArray, IntArray, FloatArray], Fitted]:
        def fit(x: FloatArray, a: IntArray, y: FloatArray) -> Fitted:
            model = DoCalib(outcome=outcome).fit(x, a, y)
            effects = PairEffects().fit(model)
            return lambda z: effects.predict(z)[0], model.effect_

        return fit

    table = {
        "T least squares": learner(kind="T", outcome="linear"),
        "S boosting": learner(kind="S"),
        "T boosting": learner(kind="T"),
        "X boosting": learner(kind="X"),
        "R boosting": learner(kind="R"),
        "DR boosting": learner(kind="DR"),
        "T Gaussian process": learner(kind="T", outcome="gaussian-process"),
        "TARNet": learner(kind="tarnet"),
        "DragonNet": learner(kind="dragonnet"),
        "DoCalib boosting": docalib("boosting"),
        "DoCalib Gaussian process": docalib("gaussian-process"),
    }
    if forest:
        table["causal forest (EconML)"] = learner(kind="forest")
    return table


def ihdp(data: Path, *, quick: bool = False) -> Part:
    """Root PEHE within and out of sample (a tenth held out), and the average effect against each file's own truth."""
    chosen = methods(forest=not quick and _has_econml())
    if quick:
        chosen = {name: fit for name, fit in chosen.items() if "process" not in name}
    rows = []
    for name, fit in track(chosen.items(), "IHDP: learners", total=len(chosen)):
        inside, outside, error, covers = [], [], [], 0
        for k in range(1, FILES + 1):
            log = Infants.read(data / "ihdp" / f"ihdp_npci_{k}.csv")
            order = np.random.default_rng(k).permutation(len(log.outcome))
            train, test = order[: int(0.9 * len(order))], order[int(0.9 * len(order)) :]
            effect, average = fit(log.features[train], log.treatment[train], log.outcome[train])
            inside.append(pehe(effect(log.features[train]), log.effect[train]))
            outside.append(pehe(effect(log.features[test]), log.effect[test]))
            truth = float(log.effect[train].mean())
            error.append(abs(average.estimate - truth))
            covers += average.covers(truth)
        rows.append(
            {
                "learner": name, "within_mean": np.mean(inside), "within_median": np.median(inside),
                "out_mean": np.mean(outside), "out_median": np.median(outside),
                **{f"out_{k}": value for k, value in enumerate(outside, start=1)},
                "ate_error": np.mean(error), "covered": covers,
            }
        )  # fmt: skip
    frame = pl.DataFrame(rows).sort("out_mean")
    best = "DoCalib boosting" if quick else "DoCalib Gaussian process"
    ours = frame.filter(pl.col("learner") == best).to_dicts()[0]
    published = {"S boosting", "T least squares", "X boosting", "R boosting", "DR boosting", "TARNet", "DragonNet"}
    rivals = [row["out_mean"] for row in frame.to_dicts() if row["learner"] in published]
    claims = (
        Claim(f"{best}: out-of-sample root PEHE {ours['out_mean']:.3f}, best of the published learners here {min(rivals):.3f}", ours["out_mean"] <= min(rivals)),
        Claim(f"{best}: the interval of the average effect covers {ours['covered']} of {FILES} truths", ours["covered"] == FILES),
    )  # fmt: skip
    return Part.of(
        "ihdp", "IHDP: root PEHE and error of the average effect", frame,
        f"{FILES} files, a tenth of each held out; published for the average of 100 files: CausalPFN .58, T-learner 1.9, causal forest 3.7",
        claims,
    )  # fmt: skip


def _has_econml() -> bool:
    from importlib.util import find_spec

    return find_spec("econml") is not None
