"""Hillstrom: a randomised e-mail campaign, made observational by keeping rows with a chance that depends on arm and features.

A row of the women's e-mail arm is kept with chance sigma(s(x)), one without e-mail with sigma(-s(x)), s = .9 history - .6 recency + .8 womens
- .5 history womens (standardised): those likely to visit are over-represented among the mailed. The randomised rows are the truth:
half of them is thinned so and learnt from, the other half, untouched, judges the ranking.
"""

from __future__ import annotations

from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from whyrec.cause.docalib import DoCalib
from whyrec.cause.glm import expit
from whyrec.cause.learners import Learner
from whyrec.cause.pair_effects import PairEffects
from whyrec.data.columns import covariates
from whyrec.errors import BadInput
from whyrec.estimate import FloatArray, IntArray
from whyrec.metrics.effect import qini
from whyrec.progress import track
from whyrec.studies.measured import Claim, Part

_COLUMNS = ("recency", "history", "mens", "womens", "zip_code", "newbie", "channel")


def read(data: Path) -> tuple[FloatArray, tuple[str, ...], IntArray, FloatArray]:
    """features (n, d), their names, e-mail (n,) 0 or 1 (women's or none), visit (n,)."""
    path = data / "hillstrom" / "hillstrom.csv"
    if not path.is_file():
        raise BadInput(f"{path} is missing; --data is the folder that holds hillstrom/")
    frame = pl.read_csv(path).filter(pl.col("treatment").is_in(["Womens E-Mail", "No E-Mail"]))
    read_as = covariates(frame, _COLUMNS)
    features, names = read_as.values, read_as.names
    mailed = (frame["treatment"] == "Womens E-Mail").cast(pl.Int64).to_numpy()
    return features, names, mailed, frame["visit"].cast(pl.Float64).to_numpy()


def kept(features: FloatArray, names: tuple[str, ...], mailed: IntArray, generator: np.random.Generator) -> Any:
    """Mask of the rows that the constructed study keeps."""
    history = np.log1p(features[:, names.index("history")])
    history = (history - history.mean()) / history.std()
    recency = features[:, names.index("recency")]
    recency = (recency - recency.mean()) / recency.std()
    womens = features[:, names.index("womens")] - 0.5
    s = 0.9 * history - 0.6 * recency + 0.8 * womens - 0.5 * history * womens
    return generator.random(len(mailed)) < expit(np.where(mailed == 1, s, -s))


def hillstrom(data: Path, *, repetitions: int = 50, quick: bool = False, random_state: int = 0) -> Part:
    """Bias, coverage and Qini over the repetitions; EconML's DR-learner beside ours where it is installed."""
    repetitions = min(repetitions, 5) if quick else repetitions
    features, names, mailed, visit = read(data)
    truth = float(visit[mailed == 1].mean() - visit[mailed == 0].mean())
    errors: dict[str, list[float]] = {}
    covers: dict[str, list[bool]] = {}
    ranks: dict[str, list[float]] = {}
    for repetition in track(range(repetitions), "Hillstrom: constructed studies", total=repetitions):
        generator = np.random.default_rng([random_state, repetition])
        order = generator.permutation(len(visit))
        first, second = order[: len(order) // 2], order[len(order) // 2 :]
        train = first[kept(features, names, mailed, generator)[first]]
        x, a, y = features[train], mailed[train], visit[train]
        model = DoCalib(folds=3, random_state=repetition).fit(x, a, y)
        for name, estimate in {**model.relatives_, "DoCalib": model.effect_}.items():
            errors.setdefault(name, []).append(estimate.estimate - truth)
            if estimate.has_interval:
                covers.setdefault(name, []).append(estimate.covers(truth))
        scores = {"DoCalib": PairEffects(random_state=repetition).fit(model).rank_score(features[second])}
        for kind in ("S", "T", "X", "DR"):
            scores[f"{kind}-learner"] = Learner(kind, random_state=repetition).fit(x, a, y).predict(features[second])
        scores["T-learner, logistic"] = Learner("T", outcome="logistic").fit(x, a, y).predict(features[second])
        theirs = _econml(x, a, y, features[second], repetition)
        if theirs is not None:
            scores["DRLearner (EconML)"] = theirs
        gain = (mailed[second] - 0.5) * (visit[second] - visit.mean()) / 0.25  # randomised half and half
        for name, score in scores.items():
            ranks.setdefault(name, []).append(qini(score, gain).estimate)
    rows = []
    for name in dict.fromkeys((*errors, *ranks)):
        error, rank = errors.get(name), ranks.get(name)
        difference = None if rank is None else np.array(ranks["DoCalib"]) - np.array(rank)
        rows.append(
            {
                "method": name,
                "bias": None if error is None else float(np.mean(error)),
                "rmse": None if error is None else float(np.sqrt(np.mean(np.square(error)))),
                "coverage": float(np.mean(covers[name])) if name in covers else None,
                "qini_1000": None if rank is None else 1000 * float(np.mean(rank)),
                "docalib_less_it_1000": None if difference is None else 1000 * float(difference.mean()),
                "standard_error": None
                if difference is None
                else 1000 * float(difference.std(ddof=1)) / sqrt(repetitions),
            }
        )
    frame = pl.DataFrame(rows, infer_schema_length=None)
    ours = frame.filter(pl.col("method") == "DoCalib").to_dicts()[0]
    naive = frame.filter(pl.col("method") == "naive").to_dicts()[0]
    margin = 3 * sqrt(0.95 * 0.05 / repetitions)
    claims = [
        Claim(f"DoCalib's bias is {ours['bias']:+.4f} where the naive one is {naive['bias']:+.4f}, of a true {truth:.4f}", abs(ours["bias"]) < 0.2 * abs(naive["bias"])),
        Claim(f"DoCalib covers {ours['coverage']:.2f} (0.95 - {margin:.2f} or more), naive {naive['coverage']:.2f}", ours["coverage"] >= 0.95 - margin),
    ]  # fmt: skip
    for name in ("S-learner", "T-learner", "X-learner", "DR-learner", "DRLearner (EconML)"):
        row = frame.filter(pl.col("method") == name).to_dicts()
        if row:
            gap, error = row[0]["docalib_less_it_1000"], row[0]["standard_error"]
            claims.append(
                Claim(f"Qini of DoCalib less {name}'s: {gap:+.2f} (standard error {error:.2f}) per 1,000", gap > 0)
            )
    return Part.of(
        "hillstrom", "Hillstrom as a constructed observational study", frame,
        f"{repetitions} repetitions, {len(visit):,} randomised rows, truth {truth:.4f}; Qini on the untouched half", tuple(claims),
    )  # fmt: skip


def _econml(x: FloatArray, a: IntArray, y: FloatArray, asked: FloatArray, seed: int) -> FloatArray | None:
    """EconML's DRLearner with LightGBM nuisances and final model; None where it is not installed."""
    try:
        from econml.dr import DRLearner
    except ImportError:
        return None
    import lightgbm

    small = {
        "n_estimators": 100,
        "num_leaves": 15,
        "learning_rate": 0.05,
        "verbosity": -1,
        "random_state": seed,
        "n_jobs": 1,
    }
    learner = DRLearner(
        model_propensity=lightgbm.LGBMClassifier(**small),
        model_regression=lightgbm.LGBMRegressor(**small),
        model_final=lightgbm.LGBMRegressor(**small),
        cv=3,
        random_state=seed,
    )
    learner.fit(y, a, X=x)
    return np.asarray(learner.effect(asked), dtype=np.float64).ravel()
