"""Recommendation by effect on the shop with a known truth: published uplift rankers beside the doubly robust ones."""

from __future__ import annotations

from math import sqrt

import numpy as np
import polars as pl
from threadpoolctl import threadpool_limits

from whyrec.cause.docalib import DoCalib
from whyrec.cause.pair_effects import PairEffects
from whyrec.data.simulate import shop_world
from whyrec.decide.uplift_rankers import UpliftRanker
from whyrec.estimate import FloatArray, IntArray
from whyrec.metrics.effect import (
    causal_dcg,
    causal_precision,
    effect_calibration,
    pehe,
    qini,
    random_causal_dcg,
    random_causal_precision,
)
from whyrec.progress import track
from whyrec.studies.measured import Claim, Part
from whyrec.studies.proof import basis, basis_names


def rankers(*, repetitions: int = 20, quick: bool = False, households: int = 1_000, random_state: int = 0) -> Part:
    """CP@10, CP@100 of pairs kept by household, CDCG and Qini of every ranker, over simulated logs of real households and products."""
    repetitions = min(repetitions, 3) if quick else repetitions
    world = shop_world()
    found: dict[str, list[dict[str, float]]] = {}
    with threadpool_limits(1):
        for k in track(range(repetitions), "Rankers by effect", total=repetitions):
            log = world.draw(households, np.random.default_rng([random_state, k]))
            x = basis(log.covariates)
            item = np.tile(np.arange(log.products), households)
            model = DoCalib(propensity="logistic", outcome="logistic").fit(
                x, log.treatment, log.outcome, clusters=log.household, feature_names=basis_names()
            )
            effects = PairEffects(learners=("t", "linear")).fit(model)
            scaled = (x - x.mean(axis=0)) / x.std(axis=0)
            arguments = (log.household, item, log.treatment, log.outcome)
            scores = {"DoCalib": effects.rank_score(x), "popularity": log.covariates[:, 0]}
            for method in ("ULRMF", "DLCE", "DR"):
                for given in (None, scaled):
                    ranker = UpliftRanker(method, factors=4).fit(*arguments, model=model, features=given)
                    name = method if given is None else f"{method} with features"
                    scores[name] = ranker.score(log.household, item, given)
            for name, score in scores.items():
                found.setdefault(name, []).append(_measures(score, log.effect, log.household))
            predicted = effects.predict(x)[0]
            found["DoCalib"][-1] |= {
                "pehe": pehe(predicted, log.effect),
                "calibration": effect_calibration(predicted, log.effect).error,
            }
            found.setdefault("random", []).append(
                {
                    "cp_at_10": random_causal_precision(log.effect, log.household),
                    "cp_at_100": random_causal_precision(log.effect, log.household),
                    "cdcg": random_causal_dcg(log.effect, log.household),
                    "qini_1000": 0.0,
                }
            )
    rows = []
    ours = np.array([row["cp_at_10"] for row in found["DoCalib"]])
    for name, runs in found.items():
        gap = ours - np.array([row["cp_at_10"] for row in runs])
        row: dict[str, float | str | None] = {"method": name}
        row |= {key: float(np.mean([run[key] for run in runs])) for key in runs[0]}
        row |= {"docalib_less_it": float(gap.mean()), "standard_error": float(gap.std(ddof=1) / sqrt(repetitions))}
        rows.append(row)
    frame = pl.DataFrame(rows, infer_schema_length=None)
    claims = [
        Claim(
            f"CP@10 of DoCalib less {row['method']}'s: {row['docalib_less_it']:+.5f} (standard error {row['standard_error']:.5f})",
            bool(row["docalib_less_it"] > 0),
        )
        for row in frame.to_dicts()
        if row["method"] != "DoCalib"
    ]
    return Part.of(
        "rankers", "Recommendation by effect, known truth", frame.sort("cp_at_10", descending=True),
        f"{repetitions} logs of {households:,} households x {len(world.product_ids)} products; random is a closed form", tuple(claims),
    )  # fmt: skip


def _measures(score: FloatArray, effect: FloatArray, household: IntArray) -> dict[str, float]:
    return {
        "cp_at_10": causal_precision(score, effect, household, 10),
        "cp_at_100": causal_precision(score, effect, household, 100),
        "cdcg": causal_dcg(score, effect, household),
        "qini_1000": 1000 * qini(score, effect).estimate,
    }
