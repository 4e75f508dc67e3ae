"""Small worlds in which every rating is known: people rate what they like, for reasons that are seen and reasons that are not.

Does the interval of the mean over all pairs cover it, made from the ratings alone, and do predictions mean what they say? Where
nothing is hidden, and where choice also follows what no attribute and no other choice shows.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from math import sqrt
from multiprocessing import get_context
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from whyrec.cause.exposure import ExposureModel, sample_pairs
from whyrec.cause.glm import expit
from whyrec.cause.pair_model import Attributes
from whyrec.cause.preference import METHODS, PreferenceModel
from whyrec.estimate import FloatArray
from whyrec.metrics.ratings import calibration_error
from whyrec.progress import track
from whyrec.studies.measured import Claim, Part

USERS, ITEMS = 100, 80
HIDDEN = (0.0, 0.1, 0.25)
_SEED = 20_262  # of worlds that no choice was made on
_SEEN = 0.8  # log odds of rating a pair, per unit of what is seen of the liking


@dataclass(frozen=True)
class World:
    """rating (users, items) of 0 or 1 of every pair, which were given, and what is known of users and items."""

    rating: FloatArray
    observed: NDArray[np.bool_]
    attributes: Attributes


def draw(hidden: float, generator: np.random.Generator, users: int = USERS, items: int = ITEMS) -> World:
    """Liking = attributes crossed + one hidden factor + the user's and the item's level + a whim of the pair, each known to people.

    logit P(rating = 1) = -.6 + s + h, logit P(observed) = -2.6 + .8 s + `hidden` h; s all but the whim h ~ N(0, 1). The factor shows in what
    people choose; the whim shows in nothing.
    """
    known = generator.normal(size=(users, 2)), generator.normal(size=(items, 2))
    factor = np.outer(generator.normal(size=users), generator.normal(size=items))
    level = 0.4 * generator.normal(size=users)[:, None] + 0.5 * known[1][:, 0]
    seen, whim = 0.7 * known[0] @ known[1].T + 0.5 * factor + level, generator.normal(size=(users, items))
    rating = (generator.random(seen.shape) < expit(-0.6 + seen + whim)).astype(np.float64)
    observed = generator.random(seen.shape) < expit(-2.6 + _SEEN * seen + hidden * whim)
    return World(rating, observed, Attributes(*known))


def ratings(
    *, worlds: int = 100, quick: bool = False, workers: int = 2, random_state: int = 0, hidden: tuple[float, ...] = HIDDEN
) -> Part:  # fmt: skip
    """Coverage of the mean over all pairs, and the calibration error of every method on the pairs that were not rated."""
    worlds = min(worlds, 6) if quick else worlds
    jobs = [(strength, random_state, k) for strength in hidden for k in range(worlds)]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        runs = list(track(pool.map(_one, jobs, chunksize=5), "Ratings: worlds", total=len(jobs)))
    found = pl.DataFrame([row for run in runs for row in run])
    frame = (
        found.group_by("hidden", "method", maintain_order=True)
        .agg(
            bias=pl.col("error").mean(),
            rmse=(pl.col("error") ** 2).mean().sqrt(),
            coverage=pl.col("covers").mean(),
            width=pl.col("width").mean(),
            calibration_error=pl.col("calibration_error").mean(),
        )
        .sort("hidden", maintain_order=True)
    )
    return Part.of(
        "ratings", "Ratings missing not at random, known truth", frame,
        f"{worlds} worlds of {USERS} users x {ITEMS} items for each strength of hidden reasons, in log odds of rating beside {_SEEN} of the "
        "seen ones; calibration error over the pairs that were not rated",
        tuple(_claims(found, frame, worlds)),
    )  # fmt: skip


def _claims(found: pl.DataFrame, frame: pl.DataFrame, worlds: int) -> list[Claim]:
    margin = 3 * sqrt(0.95 * 0.05 / worlds)
    claims = []
    for row in frame.filter(pl.col("method").is_in(["DoCalib", "DoCalib, nothing hidden"])).to_dicts():
        judged = row["method"] == "DoCalib" and row["hidden"] == 0
        claims.append(
            Claim(
                f"hidden {row['hidden']:g}: interval of {row['method']} covers the mean in {row['coverage']:.2f} (0.95 - {margin:.2f} or more)",
                bool(row["coverage"] >= 0.95 - margin) if judged else None,
            )
        )
    wide = found.pivot("method", index=["hidden", "world"], values="calibration_error")
    for hidden, of_hidden in wide.group_by("hidden", maintain_order=True):
        for name in METHODS[:-1]:
            gap = (of_hidden["DoCalib"] - of_hidden[name]).to_numpy()
            error = float(gap.std(ddof=1)) / sqrt(worlds)
            claims.append(
                Claim(
                    f"hidden {hidden[0]:g}: calibration error of DoCalib less {name}'s {gap.mean():+.4f} (standard error {error:.4f})",
                    bool(gap.mean() + 1.96 * error < 0),
                )
            )
    return claims


def _one(job: tuple[float, int, int]) -> list[dict[str, Any]]:
    """Every method on one world."""
    import torch

    torch.set_num_threads(1)
    hidden, random_state, k = job
    world = draw(hidden, np.random.default_rng([_SEED, random_state, k]))
    user, item = np.nonzero(world.observed)
    asked_user, asked_item = np.nonzero(~world.observed)
    label, truth = world.rating[~world.observed], float(world.rating.mean())
    exposure = ExposureModel(factors=4, folds=3, repeats=1).fit(
        sample_pairs(user, item, USERS, ITEMS), USERS, ITEMS, world.attributes
    )
    rows = []
    for method in METHODS:
        model = PreferenceModel(method, factors=2, exposure=exposure, repeats=1).fit(
            user, item, world.rating[world.observed], n_users=USERS, n_items=ITEMS
        )
        error = calibration_error(label, model.predict(asked_user, asked_item))
        ends: dict[str, tuple[float, tuple[float, float], float | None]] = {
            method: (model.mean_.estimate, model.mean_.interval, error)
        }
        if method == "DoCalib":
            least = model.mean_.diagnostics["nothing_hidden"]
            ends["DoCalib, nothing hidden"] = (least["estimate"], (least["interval"][0], least["interval"][1]), None)
        rows += [
            {
                "hidden": hidden, "world": k, "method": name, "error": mean - truth, "covers": float(low <= truth <= high),
                "width": high - low, "calibration_error": calibration,
            }
            for name, (mean, (low, high), calibration) in ends.items()
        ]  # fmt: skip
    return rows
