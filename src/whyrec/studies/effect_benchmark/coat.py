"""Coat: ratings that users chose to give, tested on ratings of items at random (Schnabel et al. 2016).

One base model, one grid and one criterion for every method: a fifth of the train ratings validates, by the log loss weighted by
the calibrated inverse propensity; the test is looked at once, with what was chosen. 366 of the 4,640 test cells are in train as
well, with the same rating: the main figures leave them out, and `auc_all` and `ndcg_all` keep them, as papers do.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from scipy import stats

from whyrec.cause.exposure import ExposureModel, sample_pairs
from whyrec.cause.pair_model import Attributes, Pairs
from whyrec.cause.preference import METHODS, PreferenceModel
from whyrec.errors import BadInput
from whyrec.estimate import FloatArray, IntArray
from whyrec.metrics.ratings import calibration_error, log_loss, pooled_auc, user_auc, user_top
from whyrec.progress import track
from whyrec.studies.measured import Claim, Part

POSITIVE = 3  # ratings from here on
BIASES = (0.3, 1.0, 3.0)
FACTORS = ((0, 4.0), (4, 4.0), (8, 4.0))
_RESAMPLES, _WORLDS = 300, 40
_FEW = 5  # seeds, below which nothing is judged over them
_BETTER = ("log_loss", "mse", "calibration_error")


@dataclass(frozen=True)
class Coat:
    """Codes and ratings of train and test cells, attributes, and which test cells are in train."""

    user: IntArray
    item: IntArray
    rating: FloatArray
    test_user: IntArray
    test_item: IntArray
    test_rating: FloatArray
    repeated: Any
    attributes: Attributes
    shape: tuple[int, int]

    @classmethod
    def read(cls, folder: Path) -> Coat:
        """From the folder `coat` of the reference data."""
        names = (
            "train.ascii",
            "test.ascii",
            "user_item_features/user_features.ascii",
            "user_item_features/item_features.ascii",
        )
        for name in names:
            if not (folder / name).is_file():
                raise BadInput(f"{folder / name} is missing; --data is the folder that holds coat/")
        train, test, users, items = (np.loadtxt(folder / name) for name in names)
        u, i = np.nonzero(train)
        tu, ti = np.nonzero(test)
        return cls(u, i, train[u, i], tu, ti, test[tu, ti], train[tu, ti] > 0, Attributes(users, items), train.shape)


def coat(
    data: Path,
    *,
    seeds: int = 10,
    quick: bool = False,
    with_attributes: bool = False,
    workers: int = 2,
    random_state: int = 0,
) -> Part:
    """All methods on the same base model, with or without attributes in it; propensities use attributes in both."""
    folder = data / "coat"
    log = Coat.read(folder)
    grid = list(product(BIASES, FACTORS))
    if quick:
        seeds, grid = min(seeds, 2), [(1.0, (0, 4.0)), (1.0, (4, 4.0)), (3.0, (8, 4.0))]
    jobs = [(folder, grid, with_attributes, random_state + seed) for seed in range(seeds)]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        runs = list(track(pool.map(_one_seed, jobs), "Coat: seeds", total=seeds))
    frame = _table(log, runs)
    title = "Coat: ratings missing not at random" + (", attributes in the base model" if with_attributes else "")
    made = (
        f"{seeds} seeds, {len(grid)} settings each for every method, chosen by propensity-weighted log loss on a fifth of train; "
        "NDCG@5 counts a user without positives as 1, ndcg_without leaves it out"
    )
    return Part.of(
        "coat-attributes" if with_attributes else "coat",
        title,
        frame,
        made,
        (*_claims(log, runs, frame, with_attributes), *(() if quick else _sources(log))),
    )


def _one_seed(job: tuple[Path, list[Any], bool, int]) -> dict[str, Any]:
    """Choose, refit and predict every method; predictions of the test cells, (cells,) each, and what was chosen."""
    import torch

    torch.set_num_threads(1)
    folder, grid, with_attributes, seed = job
    log = Coat.read(folder)
    users, items = log.shape
    y = (log.rating >= POSITIVE).astype(np.float64)
    exposure = ExposureModel(random_state=seed).fit(
        sample_pairs(log.user, log.item, users, items), users, items, log.attributes
    )
    attributes = log.attributes if with_attributes else None
    held = np.random.default_rng(seed).random(len(y)) < 0.2
    inverse = 1 / exposure.propensity(Pairs(log.user, log.item))
    test = (log.test_rating >= POSITIVE).astype(np.float64)
    result: dict[str, Any] = {}
    for method in METHODS:
        scores = []
        for bias, (factors, ridge) in grid:
            parameters = {"ridge_bias": bias, "factors": factors, "ridge_factors": ridge, "random_state": seed}
            model = PreferenceModel(method, exposure=exposure, **parameters).fit(
                log.user[~held], log.item[~held], y[~held], n_users=users, n_items=items, attributes=attributes,
                exposed=(log.user, log.item),
            )  # fmt: skip
            loss = log_loss(y[held], model.predict(log.user[held], log.item[held]))
            scores.append((float(inverse[held] @ loss / inverse[held].sum()), float(loss.mean()), parameters))
        weighted = min(scores, key=lambda row: row[0])[2]
        plain = min(scores, key=lambda row: row[1])[2]
        fitted = {}
        for criterion, parameters in (("weighted", weighted), ("plain", plain)):
            if criterion == "plain" and plain == weighted:
                continue
            model = PreferenceModel(method, exposure=exposure, **parameters).fit(
                log.user, log.item, y, n_users=users, n_items=items, attributes=attributes
            )
            fitted[criterion] = model
        model = fitted["weighted"]
        plain_model = fitted.get("plain", model)
        predicted = model.predict(log.test_user, log.test_item)
        entry = {
            "predicted": predicted,
            "rank": model.rank_score(log.test_user, log.test_item),
            "plain_loss": float(log_loss(test, plain_model.predict(log.test_user, log.test_item)).mean()),
            "chosen": weighted,
            "mean": (model.mean_.estimate, *model.mean_.interval),
        }
        if method == "DoCalib":
            of_rating = PreferenceModel(method, exposure=exposure, **weighted).fit(
                log.user, log.item, log.rating, n_users=users, n_items=items, attributes=attributes
            )
            entry["mean_rating"] = (of_rating.mean_.estimate, *of_rating.mean_.interval)
            entry["nothing_hidden"] = [of.mean_.diagnostics["nothing_hidden"]["interval"] for of in (model, of_rating)]
        result[method] = entry
    return result


def _measures(log: Coat, predicted: FloatArray, rank: FloatArray, keep: Any) -> dict[str, float]:
    y = (log.test_rating[keep] >= POSITIVE).astype(np.float64)
    user = log.test_user[keep]
    ndcg, recall = user_top(y, rank[keep], user)
    return {
        "auc": pooled_auc(y, rank[keep]),
        "user_auc": float(np.nanmean(user_auc(y, rank[keep], user))),
        "ndcg": float(np.mean(np.where(np.isnan(ndcg), 1.0, ndcg))),
        "ndcg_without": float(np.nanmean(ndcg)),
        "recall": float(np.nanmean(recall)),
        "log_loss": float(log_loss(y, predicted[keep]).mean()),
        "mse": float(np.mean((y - predicted[keep]) ** 2)),
        "calibration_error": calibration_error(y, predicted[keep]),
    }


def _floor(predicted: FloatArray, draws: int = 50) -> float:
    """Calibration error of these predictions if they were right: bins of a few hundred ratings are never exact."""
    generator = np.random.default_rng(0)
    labels = ((generator.random(len(predicted)) < predicted).astype(np.float64) for _ in range(draws))
    return float(np.mean([calibration_error(label, predicted) for label in labels]))


def _table(log: Coat, runs: list[dict[str, Any]]) -> pl.DataFrame:
    fresh, every = ~log.repeated, np.ones(len(log.repeated), dtype=bool)
    test = (log.test_rating >= POSITIVE).astype(np.float64)
    rows = []
    for method in METHODS:
        per_seed = [_measures(log, run[method]["predicted"], run[method]["rank"], fresh) for run in runs]
        whole = [_measures(log, run[method]["predicted"], run[method]["rank"], every) for run in runs]
        row: dict[str, Any] = {"method": method}
        row |= {name: float(np.mean([m[name] for m in per_seed])) for name in per_seed[0]}
        row["calibration_floor"] = float(np.mean([_floor(run[method]["predicted"][fresh]) for run in runs]))
        row["auc_sd"] = float(np.std([m["auc"] for m in per_seed]))
        row |= {f"{name}_all": float(np.mean([m[name] for m in whole])) for name in ("auc", "ndcg")}
        mine = float(np.mean([log_loss(test, run[method]["predicted"]).mean() for run in runs]))
        row["cost_of_plain_choice"] = float(np.mean([run[method]["plain_loss"] for run in runs])) - mine
        row["mean_over_pairs"] = float(np.mean([run[method]["mean"][0] for run in runs]))
        rows.append(row)
    return pl.DataFrame(rows)


def _claims(log: Coat, runs: list[dict[str, Any]], frame: pl.DataFrame, with_attributes: bool) -> list[Claim]:
    ours = frame.filter(pl.col("method") == "DoCalib").to_dicts()[0]
    others = frame.filter(pl.col("method") != "DoCalib").to_dicts()
    best = max(others, key=lambda row: row["auc"])
    gaps = _resampled(log, runs)
    low, high = (float(np.quantile(gaps[best["method"]]["auc"], q)) for q in (0.025, 0.975))
    claims = [
        Claim(
            f"ranking at least level with the best other ({best['method']}): AUC {ours['auc']:.4f} against {best['auc']:.4f}, "
            f"difference {ours['auc'] - best['auc']:+.4f} [{low:+.4f}, {high:+.4f}] over resampled users",
            high >= 0,
        )
    ]
    for measure in _BETTER:
        rival = max(others, key=lambda row: float(np.quantile(gaps[row["method"]][measure], 0.975)))
        differences = gaps[rival["method"]][measure]
        low, high = (float(np.quantile(differences, q)) for q in (0.025, 0.975))
        words = (
            f"{measure} better than every other's, the closest {rival['method']}'s: {ours[measure]:.4f} against {rival[measure]:.4f}, "
            f"difference {ours[measure] - rival[measure]:+.4f} [{low:+.4f}, {high:+.4f}] over resampled users"
        )
        if measure != "calibration_error":
            claims.append(Claim(words, high < 0))
            continue
        over_seeds, shown = _calibration(log, runs, rival["method"])
        told = f"; were DoCalib's predictions exactly right, {shown:.0%} of such tests would show it"
        claims += [over_seeds, Claim(words + told, True if high < 0 else None if shown < 0.5 else False)]
    truth, truth_rating = float((log.test_rating >= POSITIVE).mean()), float(log.test_rating.mean())
    for name, target in (("mean", truth), ("mean_rating", truth_rating)):
        intervals = [run["DoCalib"][name] for run in runs]
        covered = sum(low <= target <= high for _, low, high in intervals)
        middle = np.mean(intervals, axis=0)
        narrow = [run["DoCalib"]["nothing_hidden"][0 if name == "mean" else 1] for run in runs]
        without = sum(low <= target <= high for low, high in narrow)
        what = "share of positives" if name == "mean" else "mean rating"
        claims.append(
            Claim(
                f"interval for the {what} over all pairs covers the test's {target:.3f} in {covered} of {len(runs)} seeds "
                f"(average {middle[0]:.3f} [{middle[1]:.3f}, {middle[2]:.3f}]; had nothing been hidden, in {without})",
                covered == len(runs),
            )
        )
    aims = (("auc_all", 0.79), ("ndcg_all", 0.66))
    if with_attributes:
        claims += [Claim(f"{name} {ours[name]:.4f}, aimed at {aim}", ours[name] >= aim) for name, aim in aims]
    return claims


def _sources(log: Coat) -> list[Claim]:
    """What a source of knowledge that was hidden would have added to the move of the mean, on train: how strong hidden reasons can be."""
    users, items = log.shape
    sample, pairs = sample_pairs(log.user, log.item, users, items), Pairs(log.user, log.item)

    def moved(factors: int, attributes: Attributes | None) -> float:
        weight = 1 / ExposureModel(factors=factors).fit(sample, users, items, attributes).propensity(pairs)
        return float(log.rating.mean() - weight @ log.rating / weight.sum())

    both = moved(16, log.attributes)
    shares = {"attributes": both / moved(16, None) - 1, "others' choices": both / moved(0, log.attributes) - 1}
    told = ", ".join(f"{name} {share:.2f}" for name, share in shares.items())
    return [Claim(f"on train, what a source adds to the move of the mean rating by the other: {told}; taken for what is hidden: 0.3", None)]  # fmt: skip


def _calibration(log: Coat, runs: list[dict[str, Any]], rival: str) -> tuple[Claim, float]:
    """The calibration error against the closest rival's, seed by seed on this test; and how often resampled users would show a test of
    this size that exactly right predictions are better calibrated than the rival's: a claim that such a test can hardly bear is not judged.
    """
    keep = np.flatnonzero(~log.repeated)
    y, user = (log.test_rating[keep] >= POSITIVE).astype(np.float64), log.test_user[keep]
    gaps = np.array(
        [calibration_error(y, run["DoCalib"]["predicted"][keep]) - calibration_error(y, run[rival]["predicted"][keep]) for run in runs]
    )  # fmt: skip
    half = float(stats.t.ppf(0.975, len(gaps) - 1) * gaps.std(ddof=1) / np.sqrt(len(gaps)))
    right = np.mean([run["DoCalib"]["predicted"][keep] for run in runs], axis=0)
    others = [run[rival]["predicted"][keep] for run in runs[:3]]
    generator = np.random.default_rng(0)
    clear = 0
    for _ in track(range(_WORLDS), "Coat: what the test can tell", total=_WORLDS):
        label = (generator.random(len(right)) < right).astype(np.float64)
        weights = _draws(log, _RESAMPLES // 3, generator)[:, user]
        gained = [
            calibration_error(label, right, w) - np.mean([calibration_error(label, other, w) for other in others])
            for w in weights
        ]
        clear += bool(np.quantile(gained, 0.975) < 0)
    words = (
        f"calibration_error lower than the closest other's, {rival}'s, in {int((gaps < 0).sum())} of {len(gaps)} seeds on this test: "
        f"{gaps.mean():+.4f} [{gaps.mean() - half:+.4f}, {gaps.mean() + half:+.4f}] over seeds"
    )
    return Claim(words, bool(gaps.mean() + half < 0) if len(gaps) >= _FEW else None), clear / _WORLDS


def _draws(log: Coat, count: int, generator: np.random.Generator) -> FloatArray:
    """How often each user is drawn in a resample, (count, users)."""
    users = log.shape[0]
    return generator.multinomial(users, np.full(users, 1 / users), size=count).astype(np.float64)


def _resampled(log: Coat, runs: list[dict[str, Any]]) -> dict[str, dict[str, FloatArray]]:
    """DoCalib's measure less each other's, over resampled users (Efron and Tibshirani 1993), mean over seeds, by method and measure."""
    keep = np.flatnonzero(~log.repeated)
    y = (log.test_rating[keep] >= POSITIVE).astype(np.float64)
    user = log.test_user[keep]
    generator = np.random.default_rng(0)
    counts = _draws(log, _RESAMPLES, generator)

    def measures(run: dict[str, Any], method: str, weight: FloatArray) -> dict[str, float]:
        predicted, rank = run[method]["predicted"][keep], run[method]["rank"][keep]
        return {
            "auc": pooled_auc(y, rank, weight),
            "log_loss": float(np.average(log_loss(y, predicted), weights=weight)),
            "mse": float(np.average((y - predicted) ** 2, weights=weight)),
            "calibration_error": calibration_error(y, predicted, weight),
        }

    gaps: dict[str, dict[str, FloatArray]] = {
        method: {name: np.zeros(_RESAMPLES) for name in ("auc", *_BETTER)} for method in METHODS if method != "DoCalib"
    }
    for k, count in enumerate(counts):
        weight = count[user]
        for run in runs:
            ours = measures(run, "DoCalib", weight)
            for method in gaps:
                theirs = measures(run, method, weight)
                for name in gaps[method]:
                    gaps[method][name][k] += (ours[name] - theirs[name]) / len(runs)
    return gaps
