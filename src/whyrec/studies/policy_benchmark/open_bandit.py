"""Open Bandit in both directions: what every estimator says of the other policy, beside what that policy earned."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import polars as pl

from whyrec.decide.off_policy.marginal import cells_of
from whyrec.decide.off_policy.rounds import Rounds, effective_sample_size
from whyrec.decide.off_policy.select import choose_estimator
from whyrec.decide.off_policy.value import off_policy_values
from whyrec.decide.weighted_poisson import clopper_pearson
from whyrec.errors import BadInput
from whyrec.estimate import Estimate, FloatArray, IntArray
from whyrec.studies.measured import Claim, Part
from whyrec.studies.randomised import DIRECTIONS, Logged, average_choices, smoothed_rates

_FOLDS = 5


def open_bandit(folder: Path, *, random_state: int = 0) -> Part:
    """All estimators, both directions: value, interval, relative error to the click rate of the other log."""
    start = time.monotonic()
    logs = [Logged.of(_read(folder, policy, "men.csv")) for policy in ("bts", "random")]
    items = _read(folder, "random", "item_context.csv").sort("item_id")
    cells = cells_of(items.select("item_feature_1", "item_feature_3").to_numpy())
    positions, size = 3, 34
    uniform = np.full((positions, size), 1 / size)
    bts = average_choices(logs[0], positions, size)
    rows, notes, covered = [], [], []
    for direction, log, other, target, logging in zip(
        DIRECTIONS, logs, logs[::-1], (uniform, bts), (bts, uniform), strict=True
    ):
        rounds = _rounds(log, target, logging, cells, random_state)
        truth = float(other.click.mean())
        low, high = clopper_pearson(int(other.click.sum()), len(other.click), 0.95)
        for name, found in off_policy_values(rounds).items():
            rows.append(_row(direction, name, found, truth))
            if name not in ("naive", "DM"):
                covered.append(found.interval[0] <= high and low <= found.interval[1])
        chosen = choose_estimator(
            rounds, [m for m in _names(rows, direction) if m not in ("naive", "MIPS", "SNMIPS", "OffCEM")]
        )
        notes.append(
            {
                "direction": direction, "rounds": len(rounds), "clicks": int(log.click.sum()),
                "effective": effective_sample_size(rounds.weight), "mean weight": float(rounds.weight.mean()),
                "truth": truth, "truth low": low, "truth high": high,
                "chosen": chosen.method, "its value": chosen.value, "its relative error": (chosen.value - truth) / truth,
            }
        )  # fmt: skip
    table = pl.DataFrame(rows, infer_schema_length=None)
    claims = (
        Claim(
            "every weighted estimator's interval meets the exact interval of what the other policy earned, in both directions",
            all(covered),
            f"{sum(covered)} of {len(covered)}",
        ),
    )
    return Part(
        "Open Bandit, both directions", {"values": table, "logs": pl.DataFrame(notes)}, claims, time.monotonic() - start
    )


def _names(rows: list[dict[str, object]], direction: str) -> list[str]:
    """Methods of one direction."""
    return [str(row["method"]) for row in rows if row["direction"] == direction]


def _rounds(log: Logged, target: FloatArray, logging: FloatArray, cells: IntArray, random_state: int) -> Rounds:
    """The log beside a target of chances (positions, items), with smoothed click rates cross-fitted."""
    n = len(log.click)
    fold = np.random.default_rng(random_state).permutation(n) % _FOLDS
    logged, mean = np.empty(n), np.empty(n)
    for k in range(_FOLDS):
        train, test = fold != k, fold == k
        rates = smoothed_rates(log, train, target.shape)[0]
        logged[test] = rates[log.position[test], log.item[test]]
        mean[test] = (target * rates).sum(axis=1)[log.position[test]]
    member = np.zeros((len(cells), int(cells.max()) + 1))
    member[np.arange(len(cells)), cells] = 1.0
    # The logging policy's chances of a cell: its average choices, as the log holds only those of the item that was shown.
    marginal = (target @ member) / (logging @ member)
    return Rounds.of(
        log.click,
        log.propensity,
        target[log.position, log.item],
        predicted_logged=logged,
        predicted_target=mean,
        marginal_weight=marginal[log.position, cells[log.item]],
    )


def _row(direction: str, name: str, found: Estimate, truth: float) -> dict[str, object]:
    low, high = found.interval
    return {
        "direction": direction, "method": name, "clicks per 1,000": 1000 * found.estimate, "low": 1000 * low, "high": 1000 * high,
        "truth": 1000 * truth, "relative error": (found.estimate - truth) / truth, "covers": found.covers(truth) if found.has_interval else None,
        "effective": found.diagnostics["effective_sample_size"],
    }  # fmt: skip


def _read(folder: Path, policy: str, name: str) -> pl.DataFrame:
    path = Path(folder) / "open-bandit" / policy / name
    if not path.is_file():
        raise BadInput(f"{path}: no such file; get the small Open Bandit dataset, or leave this part out")
    return pl.read_csv(path)
